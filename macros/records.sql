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
    A struct of texts from a line that is a JSON object, or a list of exactly one;
    null for everything else.
#}
{% macro parse_record(line, record_type) -%}
    {{- return(adapter.dispatch('parse_record')(line, record_type)) -}}
{%- endmacro %}

{% macro default__parse_record(line, record_type) -%}
    {%- set fields -%}
        { {%- for field in record_fields(record_type) -%}
            "{{ field }}": "VARCHAR" {{- "," if not loop.last -}}
        {%- endfor -%} }
    {%- endset -%}
    case left({{ trim_text(line) }}, 1)
        when '{' then try(from_json({{ line }}, '{{ fields }}'))
        when '['
            then case
                when
                    try(json_array_length({{ line }})) = 1
                    and json_type({{ line }}, '$[0]') = 'OBJECT'
                    then from_json({{ line }}, '[{{ fields }}]')[1]
            end
    end
{%- endmacro %}

{% macro spark__parse_record(line, record_type) -%}
    {%- set fields -%}
        {%- for field in record_fields(record_type) -%}
            `{{ field }}` string,
        {%- endfor -%}
        `_corrupt` string
    {%- endset -%}
    {%- set options -%}
        map(
            'columnNameOfCorruptRecord', '_corrupt',
            'allowSingleQuotes', 'false',
            'allowNonNumericNumbers', 'false'
        )
    {%- endset -%}
    case
        when
            substr({{ trim_text(line) }}, 1, 1) = '{'
            and from_json({{ line }}, '{{ fields }}', {{ options }})._corrupt is null
            then from_json({{ line }}, '{{ fields }}', {{ options }})
        when
            substr({{ trim_text(line) }}, 1, 1) = '['
            and json_array_length({{ line }}) = 1
            and substr(trim(get_json_object({{ line }}, '$[0]')), 1, 1) = '{'
            then from_json(get_json_object({{ line }}, '$[0]'), '{{ fields }}', {{ options }})
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
    (try_parse_json({{ text }}) is not null)
{%- endmacro %}

{# True where a record names a field of its type other than the key, even as null. #}
{% macro has_own_fields(line, record, record_type) -%}
    {%- set own_fields = record_fields(record_type)[1:] -%}
    (
        coalesce(
            {%- for field in own_fields %}
            {{ record }}.{{ field }}{{ "," if not loop.last }}
            {%- endfor %}
        ) is not null
        or {{ names_a_field(line, own_fields) }}
    )
{%- endmacro %}

{% macro names_a_field(line, fields) -%}
    {{- return(adapter.dispatch('names_a_field')(line, fields)) -}}
{%- endmacro %}

{% macro default__names_a_field(line, fields) -%}
    list_has_any(
        json_keys(
            {{ line }}, case when left({{ trim_text(line) }}, 1) = '[' then '$[0]' else '$' end
        ),
        {{ fields }}
    )
{%- endmacro %}

{% macro spark__names_a_field(line, fields) -%}
    arrays_overlap(
        json_object_keys(
            case
                when substr({{ trim_text(line) }}, 1, 1) = '['
                    then get_json_object({{ line }}, '$[0]')
                else {{ line }}
            end
        ),
        array({{ "'" ~ fields | join("', '") ~ "'" }})
    )
{%- endmacro %}

{#
    Why a landed line is no record of its type, the first that applies; null for a
    record. Needs the columns `is_utf8`, `line`, `record` and `post_id`.
#}
{% macro reject_reason(record_type) -%}
    case
        when not is_utf8 then 'not_json'
        when record is null
            then case when {{ is_json('line') }} then 'not_object' else 'not_json' end
        when post_id is null then 'no_key'
        when not {{ has_own_fields('line', 'record', record_type) }} then 'foreign'
    end
{%- endmacro %}

{# The record type of a topic, null where no pattern matches the whole of it. #}
{% macro record_type_of(topic) -%}
    case
        {%- for record_type in ['pin', 'geo', 'user'] %}
        when {{ matches(topic, '^' ~ var(record_type ~ '_topics') ~ '$') }}
            then '{{ record_type }}'
        {%- endfor %}
    end
{%- endmacro %}
