{# The three record types, what of them is a record, and why a line is none. #}

{# The fields of a record type in the order of arrival; the first one is the key. #}
{% macro record_fields(record_type) -%}
    {{- return({
        'pin': [
            'index', 'unique_id', 'title', 'description', 'poster_name',
            'follower_count', 'tag_list', 'is_image_or_video', 'image_src',
            'downloaded', 'save_location', 'category',
        ],
        'geo': ['ind', 'timestamp', 'latitude', 'longitude', 'country'],
        'user': ['ind', 'first_name', 'last_name', 'age', 'date_joined'],
        'dead_letter': ['reason', 'timestamp', 'value'],
    }[record_type]) -}}
{%- endmacro %}

{#
    The JSON object of a line: the line itself, or the one object of a list; null for
    everything else. What looks like an object may still not be JSON.
#}
{% macro object_of(line) -%}
    case
        when {{ starts_with(line, '{') }} then {{ line }}
        when {{ starts_with(trim_text(line), '{') }} then {{ line }}
        when {{ starts_with(trim_text(line), '[') }} then {{ only_object(line) }}
    end
{%- endmacro %}

{% macro only_object(line) -%}
    {{- return(adapter.dispatch('only_object')(line)) -}}
{%- endmacro %}

{% macro default__only_object(line) -%}
    case
        when
            try(json_array_length({{ line }})) = 1
            and json_type({{ line }}, '$[0]') = 'OBJECT'
            then cast(json_extract({{ line }}, '$[0]') as varchar)
    end
{%- endmacro %}

{% macro spark__only_object(line) -%}
    {%- set text = trim_text(line) -%}
    case
        when
            json_array_length({{ line }}) = 1
            and {{ starts_with("get_json_object(" ~ line ~ ", '$[0]')", '{') }}
            and {{ is_json(text) }}
            then substr({{ text }}, 2, length({{ text }}) - 2)
    end
{%- endmacro %}

{#
    A struct of texts from a text that `object_of` gave; null where it is not JSON.
    It stands alone, not inside a `case`: copying a struct out of a `case` costs
    DuckDB more than reading it.
#}
{% macro parse_record(object, record_type) -%}
    {{- return(adapter.dispatch('parse_record')(object, record_type)) -}}
{%- endmacro %}

{% macro default__parse_record(object, record_type) -%}
    {#-
        `try` costs less than parsing a line twice, unless one in some thousand is no JSON:
        landers set these aside.
    -#}
    try(from_json(
        {{ object }},
        '{
        {%- for field in record_fields(record_type) -%}
            "{{ field }}": "VARCHAR" {{- ", " if not loop.last -}}
        {%- endfor -%}
        }'
    ))
{%- endmacro %}

{% macro spark__parse_record(object, record_type) -%}
    {%- set fields = record_fields(record_type) -%}
    {#-
        Lambdas name the record and its texts, so that a line is read once. `from_json`
        stops at the end of the object and takes half of a surrogate pair: either is
        looked for only where the first closing brace is not the end, or where there is
        such an escape.
    -#}
    get(
        transform(
            transform(
                filter(
                    array(from_json(
                        {{ object }},
                        '`{{ fields | join("` string, `") }}` string, `_corrupt` string',
                        {{ spark_json_options() }}
                    )),
                    parsed -> {{ object }} is not null
                        and parsed._corrupt is null
                        and case
                            when octet_length(substring_index({{ object }}, '}', 1))
                                <> octet_length({{ object }}) - 1
                                or contains({{ object }}, r'\u')
                                and contains(lower({{ object }}), r'\ud')
                                then {{ is_json(object) }}
                            else true
                        end
                ),
                parsed -> transform(
                    array(parsed.`{{ fields | join("`, parsed.`") }}`),
                    field -> {{ spark_number_text('field', object) }}
                )
            ),
            texts -> named_struct(
                {%- for field in fields %}
                '{{ field }}', texts[{{ loop.index0 }}] {{- "," if not loop.last }}
                {%- endfor %}
            )
        ),
        0
    )
{%- endmacro %}

{% macro spark_json_options() -%}
    map(
        'columnNameOfCorruptRecord', '_corrupt',
        'allowSingleQuotes', 'false',
        'allowNonNumericNumbers', 'false'
    )
{%- endmacro %}

{#
    The text of a field, numbers written as DuckDB does: `from_json` gives `1.2E7` for
    12000000.0. A text in quotes is no number.
#}
{% macro spark_number_text(text, object) -%}
    {%- set sign = "regexp_extract(" ~ text ~ ", '^-?', 0)" -%}
    {%- set mantissa = "regexp_extract(" ~ text ~ ", '^-?([0-9.]+?)([.]0)?E', 1)" -%}
    {%- set digits = "replace(" ~ mantissa ~ ", '.', '')" -%}
    {%- set exponent = "cast(regexp_extract(" ~ text ~ ", 'E(.*)$', 1) as int)" -%}
    case
        when
            octet_length({{ text }}) < 26
            and contains({{ text }}, 'E')
            and {{ matches(text, '^-?[0-9][.][0-9]+E-?[0-9]+$') }}
            and not contains({{ object }}, '"' || {{ text }} || '"')
            then {{ sign }} || case
                when {{ exponent }} between 0 and 15
                    then rpad(substr({{ digits }}, 1, {{ exponent }} + 1),
                        {{ exponent }} + 1, '0')
                        || '.' || rpad(substr({{ digits }}, {{ exponent }} + 2),
                        greatest(1, length({{ digits }}) - {{ exponent }} - 1), '0')
                when {{ exponent }} = -4 then '0.000' || {{ digits }}
                else {{ mantissa }} || format_string('e%+03d', {{ exponent }})
            end
        else {{ text }}
    end
{%- endmacro %}

{# True where a text is JSON of any kind, as far as the engine's reader goes. #}
{% macro is_json(text) -%}
    {{- return(adapter.dispatch('is_json')(text)) -}}
{%- endmacro %}

{% macro default__is_json(text) -%}
    json_valid({{ text }})
{%- endmacro %}

{% macro spark__is_json(text) -%}
    {#-
        One value as the first and as the last item of a list, so that nothing can
        follow it unseen; and no half of a surrogate pair once the pairs are gone. What
        is no list has the size -1 or, in ANSI mode, null.
    -#}
    coalesce(
        size(from_json('[' || {{ text }} || ',0]', 'array<string>', {{ spark_json_options() }})) = 2
        and size(from_json('[0,' || {{ text }} || ']', 'array<string>', {{ spark_json_options() }})) = 2
        and not rlike(
            regexp_replace(
                replace({{ text }}, r'\\', ''),
                r'\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}', ''
            ),
            r'\\u[dD][89a-fA-F]'
        ),
        false
    )
{%- endmacro %}

{# True where a JSON object names one of the fields, even as null. #}
{% macro names_a_field(object, fields) -%}
    {{- return(adapter.dispatch('names_a_field')(object, fields)) -}}
{%- endmacro %}

{% macro default__names_a_field(object, fields) -%}
    list_has_any(json_keys({{ object }}), {{ fields }})
{%- endmacro %}

{% macro spark__names_a_field(object, fields) -%}
    arrays_overlap(
        json_object_keys({{ object }}), array({{ "'" ~ fields | join("', '") ~ "'" }})
    )
{%- endmacro %}

{#
    Why a landed line is no record of its type, the first that applies; null for a
    record. Needs the columns `is_utf8`, `line`, `object`, `record` and `post_id`.
#}
{% macro reject_reason(record_type) -%}
    case
        when not is_utf8 then 'not_json'
        when record is null
            then case when {{ is_json('line') }} then 'not_object' else 'not_json' end
        when post_id is null then 'no_key'
        when record.{{ record_fields(record_type) | last }} is not null then null
        when not {{ names_a_field('object', record_fields(record_type)[1:]) }}
            then 'foreign'
    end
{%- endmacro %}

{# The record type of a topic, null where no pattern matches the whole of it. #}
{% macro record_type_of(topic, patterns={}) -%}
    case
        {%- for record_type in ['pin', 'geo', 'user'] %}
        {%- set pattern = patterns.get(record_type) or topics_of(record_type) %}
        when {{ matches(topic, '^' ~ pattern ~ '$') }}
            then '{{ record_type }}'
        {%- endfor %}
    end
{%- endmacro %}
