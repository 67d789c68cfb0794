{# Who a user is, and what is known of one. #}

{#
    The key of a person: md5 of first name, last name and join instant, null where
    one of them is. The length keeps ('a', 'bc') and ('ab', 'c') apart.
#}
{% macro user_id(first_name, last_name, joined_at) -%}
    md5(
        cast(length({{ first_name }}) as {{ dbt.type_string() }}) || ':'
        || {{ first_name }} || {{ last_name }} || ':'
        || cast({{ microseconds(joined_at) }} as {{ dbt.type_string() }})
    )
{%- endmacro %}

{# Microseconds since 1970-01-01 UTC, bigint. #}
{% macro microseconds(time) -%}
    {{- return(adapter.dispatch('microseconds')(time)) -}}
{%- endmacro %}

{% macro default__microseconds(time) -%}
    epoch_us({{ time }})
{%- endmacro %}

{% macro spark__microseconds(time) -%}
    unix_micros({{ time }})
{%- endmacro %}

{#
    An aggregate: the value of the latest row where it is known. Latest by time, then
    by id; a row without a time precedes every dated one. Null order inside structs
    and null values in `max_by` differ between engines, so neither occurs.
#}
{% macro latest_known(value, at, id) -%}
    max_by({{ value }}, {{ moment(at, id) }}) filter (where {{ value }} is not null)
{%- endmacro %}

{# The same for the earliest row. #}
{% macro earliest_known(value, at, id) -%}
    min_by({{ value }}, {{ moment(at, id) }}) filter (where {{ value }} is not null)
{%- endmacro %}

{% macro moment(at, id) -%}
    {{- return(adapter.dispatch('moment')(at, id)) -}}
{%- endmacro %}

{% macro default__moment(at, id) -%}
    {#- One number compares faster than a struct; 18 digits hold every event number. -#}
    coalesce(cast(epoch_us({{ at }}) as hugeint), -1000000000000000000)
    * 1000000000000000000 + {{ id }}
{%- endmacro %}

{% macro spark__moment(at, id) -%}
    struct({{ at }} is not null, coalesce({{ at }}, timestamp '1970-01-01'), {{ id }})
{%- endmacro %}

{# An aggregate: a list of the known values, ascending; null where there is none. #}
{% macro sorted_known(value) -%}
    {{- return(adapter.dispatch('sorted_known')(value)) -}}
{%- endmacro %}

{% macro default__sorted_known(value) -%}
    list_sort(list({{ value }}) filter (where {{ value }} is not null))
{%- endmacro %}

{% macro spark__sorted_known(value) -%}
    case when count({{ value }}) > 0 then sort_array(collect_list({{ value }})) end
{%- endmacro %}

{# The join of `people` with `age_groups`, which keeps those whom no group holds. #}
{% macro join_age_groups() -%}
    left join age_groups
        on
            people.age >= age_groups.min_age
            and people.age <= coalesce(age_groups.max_age, people.age)
{%- endmacro %}
