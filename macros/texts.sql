{# Lists and entities inside texts. #}

{#
    What a comma-separated text is rewritten to, so that its items are different ones, each
    trimmed, none empty, in their order: '' where there is none, null where the text is
    written so already. A list type would be the natural one, but storing it takes longer
    than text.
#}
{% macro rewritten_items(text) -%}
    {{- return(adapter.dispatch('rewritten_items')(text)) -}}
{%- endmacro %}

{% macro default__rewritten_items(text) -%}
    {%- set items = "string_split(" ~ text ~ ", ',')" -%}
    {#-
        Few texts need work, and to see which is cheap. A list in a list gives it a name, so
        that it is made once; `list_unique` would take three times as long.
    -#}
    case
        when
            {{ text }} = ''
            or list_transform(
                [{{ items }}],
                split -> len(list_filter(
                    split, (item, position) -> position <> list_position(split, item)
                ))
            )[1] = 0
            and not (
                {%- for blank in [9, 10, 13, 160] %}
                contains({{ text }}, chr({{ blank }})) or
                {%- endfor %}
                {%- for mark in [' ', ','] %}
                contains({{ text }}, ',{{ mark }}')
                or contains({{ text }}, '{{ mark }},')
                or starts_with({{ text }}, '{{ mark }}')
                or ends_with({{ text }}, '{{ mark }}')
                {{ "or" if not loop.last }}
                {%- endfor %}
            )
            then null
        else coalesce(
            list_transform(
                [list_transform({{ items }}, item -> {{ trim_text('item') }})],
                trimmed -> array_to_string(
                    list_filter(
                        trimmed,
                        (item, position) ->
                        item <> '' and position = list_position(trimmed, item)
                    ),
                    ','
                )
            )[1],
            ''
        )
    end
{%- endmacro %}

{% macro spark__rewritten_items(text) -%}
    nullif(
        coalesce(
            array_join(
                array_distinct(filter(
                    transform(split({{ text }}, ','), item -> {{ trim_text('item') }}),
                    item -> item <> ''
                )),
                ','
            ),
            ''
        ),
        {{ text }}
    )
{%- endmacro %}

{# One row per item of a comma-separated text, as a column of the select list. #}
{% macro explode_items(text) -%}
    {{- return(explode("split(" ~ text ~ ", ',')")) -}}
{%- endmacro %}

{# One row per item of a list, as a column of the select list. #}
{% macro explode(items) -%}
    {{- return(adapter.dispatch('explode')(items)) -}}
{%- endmacro %}

{% macro default__explode(items) -%}
    unnest({{ items }})
{%- endmacro %}

{% macro spark__explode(items) -%}
    explode({{ items }})
{%- endmacro %}

{#
    Text with its HTML character references decoded once, as a browser reads them:
    `&amp;`, `&#39;`, `&#x1F44D;`, a numeric one also without its semicolon; `&#146;` is
    of Windows-1252. What is no reference stays. `entities` is a map from name to code
    point, of the seed `html_entities`.
#}
{% macro decode_html(text, entities) -%}
    {{- return(adapter.dispatch('decode_html')(text, entities)) -}}
{%- endmacro %}

{% macro default__decode_html(text, entities) -%}
    {%- set code_point -%}
        case
            when part like '&#x%' or part like '&#X%'
                then try_cast('0x' || regexp_extract(part, '[0-9A-Fa-f]+') as int)
            when part like '&#%' then try_cast(regexp_extract(part, '[0-9]+') as int)
            when part like '&%;' then {{ entities }}[part[2:-2]]
        end
    {%- endset -%}
    case
        when {{ text }} not like '%&%' then {{ text }}
        else array_to_string(
            list_transform(
                regexp_extract_all(
                    {{ text }},
                    '&#[0-9]+;?|&#[xX][0-9A-Fa-f]+;?|&[A-Za-z0-9]+;|[^&]+|&'
                ),
                part -> coalesce(
                    try(chr(nullif(coalesce(
                        {{ entities }}['#' || {{ code_point }}], {{ code_point }}
                    ), 0))),
                    part
                )
            ),
            ''
        )
    end
{%- endmacro %}

{% macro spark__decode_html(text, entities) -%}
    {%- set code_point -%}
        case
            when part like '&#x%' or part like '&#X%'
                then try_cast(conv(
                    regexp_extract(part, '^&#[xX]0*([0-9A-Fa-f]{1,8});?$', 1), 16, 10
                ) as int)
            when part like '&#%'
                then try_cast(regexp_extract(part, '([0-9]+)', 1) as int)
            when part like '&%;' then {{ entities }}[substr(part, 2, length(part) - 2)]
        end
    {%- endset -%}
    case
        when {{ text }} not like '%&%' then {{ text }}
        else array_join(
            transform(
                regexp_extract_all(
                    {{ text }},
                    '(&#[0-9]+;?|&#[xX][0-9A-Fa-f]+;?|&[A-Za-z0-9]+;|[^&]+|&)',
                    1
                ),
                part -> case
                    when
                        {{ code_point }} between 1 and 55295
                        or {{ code_point }} between 57344 and 1114111
                        then decode(
                            unhex('0000FEFF' || lpad(hex(coalesce(
                                {{ entities }}[concat('#', {{ code_point }})],
                                {{ code_point }}
                            )), 8, '0')),
                            'UTF-32'
                        )
                    else part
                end
            ),
            ''
        )
    end
{%- endmacro %}

{# An aggregate: a map from key to value; each key occurs once. #}
{% macro map_of(key, value) -%}
    {{- return(adapter.dispatch('map_of')(key, value)) -}}
{%- endmacro %}

{% macro default__map_of(key, value) -%}
    map(list({{ key }}), list({{ value }}))
{%- endmacro %}

{% macro spark__map_of(key, value) -%}
    map_from_entries(collect_list(struct({{ key }}, {{ value }})))
{%- endmacro %}
