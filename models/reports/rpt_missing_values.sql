-- sqlfluff:dialect:postgres
{#- The linter's dialect of DuckDB does not know grouping sets. -#}
{{ config(materialized='view') }}

with

{% set plurals = {'pin': 'pins', 'geo': 'geolocations', 'user': 'users'} -%}
{% for record_type, plural in plurals.items() %}
{{ record_type }}_missing as (
    {{ missing_values_of(record_type) }}
),

{{ record_type }}_records as (
    select
        {%- for field in record_fields(record_type)[1:] %}
        {%- set missing = record_type ~ '_missing.' ~ field %}
        {{ known_text('copies.' ~ field, missing) }} as {{ field }},
        {%- endfor %}
        copies.post_id
    from {{ ref('base_pinterest__' ~ plural) }} as copies
    inner join {{ ref('int_newest_' ~ plural) }} as newest
        on {{ is_same_place('copies', 'newest') }}
    cross join {{ record_type }}_missing
),
{% endfor %}
-- All columns of a record in one pass: in a row, one of them at most is not null.
value_counts as (
    {%- for record_type in plurals %}
    {%- set fields = record_fields(record_type)[1:] %}
    select
        '{{ record_type }}' as record_type,
        case
            {%- for field in fields %}
            when grouping({{ field }}) = 0 then '{{ field }}'
            {%- endfor %}
        end as column_name,
        coalesce({{ fields | join(', ') }}) as known_value,
        count(*) as value_count
    from {{ record_type }}_records
    group by grouping sets (({{ fields | join('), (') }}))
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

most_common_counts as (
    select
        record_type,
        column_name,
        max(value_count) as most_common_count
    from value_counts
    where known_value is not null
    group by record_type, column_name
),

most_common_values as (
    select
        value_counts.record_type,
        value_counts.column_name,
        min(value_counts.known_value) as most_common_value,
        max(value_counts.value_count) as most_common_count
    from value_counts
    inner join most_common_counts
        on
            value_counts.record_type = most_common_counts.record_type
            and value_counts.column_name = most_common_counts.column_name
            and value_counts.value_count = most_common_counts.most_common_count
    where value_counts.known_value is not null
    group by value_counts.record_type, value_counts.column_name
),

counts as (
    select * from {{ ref('rpt_missing_counts') }}
),

missing_values as (
    select
        counts.record_type,
        counts.column_name,
        counts.record_count,
        counts.missing_count,
        counts.missing_share,
        counts.unreadable_count,
        most_common_values.most_common_value,
        cast(most_common_values.most_common_count as double) / counts.record_count
            as most_common_share
    from counts
    left join most_common_values
        on
            counts.record_type = most_common_values.record_type
            and counts.column_name = most_common_values.column_name
)

select * from missing_values
