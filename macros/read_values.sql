{#
    How text is read. Each macro takes a text that `trim_text` has trimmed and gives
    a typed value, or null where the text does not have the shape. The shape is
    checked before a cast: engines read `1_000`, `0x10` and `epoch` as they please.
#}

{# Without blanks, tabs, line ends and no-break spaces at either end. #}
{% macro trim_text(text) -%}
    {{- return(adapter.dispatch('trim_text')(text)) -}}
{%- endmacro %}

{% macro default__trim_text(text) -%}
    {#-
        `trim` walks through the whole text; its ends tell whether it has to. All that
        is below `!` is a blank or a control character, which `trim` leaves.
    -#}
    case
        when
            {{ text }} < '!'
            or starts_with({{ text }}, chr(160))
            {%- for blank in [32, 9, 10, 13, 160] %}
            or ends_with({{ text }}, chr({{ blank }}))
            {%- endfor %}
            then trim({{ text }}, ' ' || chr(9) || chr(10) || chr(13) || chr(160))
        else {{ text }}
    end
{%- endmacro %}

{% macro spark__trim_text(text) -%}
    btrim({{ text }}, ' ' || chr(9) || chr(10) || chr(13) || chr(160))
{%- endmacro %}

{# Trimmed text; null where it is empty or one of the field's `missing_values`. #}
{% macro known_text(text, missing_values=none) -%}
    case
        when
            {{ trim_text(text) }} <> ''
            {%- if missing_values %}
            and not coalesce(
                array_contains({{ missing_values }}, {{ trim_text(text) }}), false
            )
            {%- endif %}
            then {{ trim_text(text) }}
    end
{%- endmacro %}

{# True where the text holds a match of the regular expression. #}
{% macro matches(text, pattern) -%}
    {{- return(adapter.dispatch('matches')(text, pattern)) -}}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    regexp_matches({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro spark__matches(text, pattern) -%}
    {#- Java's `$` matches before a last U+0085, U+2028 or U+2029 too, `\z` at the end. -#}
    {%- set is_whole = pattern.endswith('$') -%}
    rlike({{ text }}, r'{{ pattern[:-1] ~ '\\z' if is_whole else pattern }}')
{%- endmacro %}

{% macro starts_with(text, prefix) -%}
    {{- return(adapter.dispatch('starts_with')(text, prefix)) -}}
{%- endmacro %}

{% macro default__starts_with(text, prefix) -%}
    starts_with({{ text }}, '{{ prefix }}')
{%- endmacro %}

{% macro spark__starts_with(text, prefix) -%}
    startswith({{ text }}, '{{ prefix }}')
{%- endmacro %}

{# The first group of the first match, '' where there is none. #}
{% macro first_group(text, pattern) -%}
    regexp_extract({{ text }}, '{{ pattern }}', 1)
{%- endmacro %}

{# An event's number: 1 to 18 digits, bigint. #}
{% macro read_event_number(text) -%}
    case
        when {{ matches(text, '^[0-9]{1,18}$') }} then cast({{ text }} as bigint)
    end
{%- endmacro %}

{# A whole number, int; `34.0` is one, `34.5` is not. #}
{% macro read_integer(text) -%}
    case
        when {{ matches(text, '^[+-]?[0-9]{1,9}([.]0+)?$') }}
            then cast(split_part({{ text }}, '.', 1) as int)
    end
{%- endmacro %}

{# A decimal number with an optional exponent, double; never NaN or infinite. #}
{% macro read_number(text) -%}
    case
        when
            {{ matches(
                text, '^[+-]?[0-9]{1,30}([.][0-9]+)?([eE][+-]?[0-9]{1,2})?$'
            ) }}
            then cast({{ text }} as double)
    end
{%- endmacro %}

{# 1, 0, true or false, boolean. #}
{% macro read_flag(text) -%}
    case
        when lower({{ text }}) in ('1', '1.0', 'true') then true
        when lower({{ text }}) in ('0', '0.0', 'false') then false
    end
{%- endmacro %}

{#
    A date and time as a UTC instant, timestamp in microseconds (finer is cut off).
    No zone means UTC. The offset is applied by hand: a cast drops it on one engine
    and applies it on another. Years are 1 to 9999, before the offset and after it.
#}
{% macro read_timestamp(text) -%}
    {%- set shape -%}
        ^(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}([.][0-9]+)?( ?(Z|[+-][0-9]{2}:?[0-9]{2}))?$
    {%- endset -%}
    {%- set offset = first_group(text, '([+-][0-9]{2}:?[0-9]{2})$') -%}
    {%- set instant = minus_minutes(
        cast_or_null(
            "substr(" ~ text ~ ", 1, 10) || ' ' || substr(" ~ text
            ~ ", 12, 8) || '.' || substr("
            ~ first_group(text, '[.]([0-9]{1,6})') ~ " || '000000', 1, 6)",
            "timestamp"
        ),
        "case when substr(" ~ text ~ ", 20) not like '%-%' and substr(" ~ text
        ~ ", 20) not like '%+%' then 0 else "
        ~ "cast(substr(" ~ offset ~ ", 1, 1) || '1' as int) * ("
        ~ "cast(substr(" ~ offset ~ ", 2, 2) as int) * 60 + "
        ~ "cast(right(" ~ offset ~ ", 2) as int)) end"
    ) -%}
    case
        when length({{ text }}) < 19 then null
        when length({{ text }}) = 19 and {{ matches(text, shape) }}
            then {{ cast_or_null(text, "timestamp") }}
        when {{ matches(text, shape) }}
            then case
                when
                    {{ instant }} between timestamp '0001-01-01 00:00:00'
                    and timestamp '9999-12-31 23:59:59.999999'
                    then {{ instant }}
            end
    end
{%- endmacro %}

{# A cast that gives null instead of an error; for texts whose shape was checked. #}
{% macro cast_or_null(text, type) -%}
    try_cast({{ text }} as {{ type }})
{%- endmacro %}

{% macro minus_minutes(time, minutes) -%}
    {{- return(adapter.dispatch('minus_minutes')(time, minutes)) -}}
{%- endmacro %}

{% macro default__minus_minutes(time, minutes) -%}
    {{ time }} - to_minutes({{ minutes }})
{%- endmacro %}

{% macro spark__minus_minutes(time, minutes) -%}
    timestampadd(minute, -({{ minutes }}), {{ time }})
{%- endmacro %}

{#
    A follower count such as `999`, `1,234`, `6k`, `1.2k` or `1M`, bigint: decimal
    arithmetic, rounded half up.
#}
{% macro read_follower_count(text) -%}
    {%- set multiplier -%}
        case lower(right({{ text }}, 1))
            when 'k' then 1000
            when 'm' then 1000000
            when 'b' then 1000000000
            else 1
        end
    {%- endset -%}
    {%- set number = "replace(" ~ first_group(text, '^([0-9.,]+)') ~ ", ',', '')" -%}
    case
        when {{ matches(text, '^[0-9]{1,9}$') }} then cast({{ text }} as bigint)
        when {{ matches(text, '^[0-9]{1,9}[kKmMbB]$') }}
            then cast(substr({{ text }}, 1, length({{ text }}) - 1) as bigint)
                * {{ multiplier }}
        when
            {{ matches(
                text,
                '^([0-9]{1,9}|[0-9]{1,3}(,[0-9]{3}){1,2})([.][0-9]{1,9})?[kKmMbB]?$'
            ) }}
            then cast(
                round(cast({{ number }} as decimal(27, 9)) * {{ multiplier }}) as bigint
            )
        when {{ matches(text, '^([0-9]{10,18}|[0-9]{1,3}(,[0-9]{3}){3,5})$') }}
            then cast({{ number }} as bigint)
    end
{%- endmacro %}

{#
    One row with a list of texts for each field of a record type: what the seed
    `missing_values` says means missing there.
#}
{% macro missing_values_of(record_type) -%}
    select
        {%- for field in record_fields(record_type) %}
        array_agg(missing_value) filter (where field = '{{ field }}') as {{ field }}
        {{- "," if not loop.last }}
        {%- endfor %}
    from {{ ref('missing_values') }}
    where record_type = '{{ record_type }}'
{%- endmacro %}

{#
    True where a known text of a typed field cannot be read as its type; '' for a field
    that is text.
#}
{% macro unreadable_text(field, text) -%}
    {%- set readers = {
        'follower_count': read_follower_count,
        'downloaded': read_flag,
        'timestamp': read_timestamp,
        'latitude': read_number,
        'longitude': read_number,
        'age': read_integer,
        'date_joined': read_timestamp,
    } -%}
    {%- if field in readers -%}
    {{ readers[field](text) }} is null
    {%- endif -%}
{%- endmacro %}

{# The UTC year of a timestamp, int. #}
{% macro year_of(time) -%}
    cast(extract(year from {{ time }}) as int)
{%- endmacro %}
