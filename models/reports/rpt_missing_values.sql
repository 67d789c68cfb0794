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

judged_values as (
    select
        *,
        {{ is_unreadable('column_name', 'known_value') }} as is_unreadable
    from value_counts
),

column_values as (
    select
        record_type,
        column_name,
        cast(sum(value_count) as bigint) as record_count,
        cast(
            coalesce(sum(value_count) filter (where known_value is null), 0) as bigint
        ) as missing_count,
        cast(
            coalesce(sum(value_count) filter (where is_unreadable), 0) as bigint
        ) as unreadable_count,
        max(value_count) filter (where known_value is not null) as most_common_count
    from judged_values
    group by record_type, column_name
),

most_common_values as (
    select
        value_counts.record_type,
        value_counts.column_name,
        min(value_counts.known_value) as most_common_value
    from value_counts
    inner join column_values
        on
            value_counts.record_type = column_values.record_type
            and value_counts.column_name = column_values.column_name
            and value_counts.value_count = column_values.most_common_count
    group by value_counts.record_type, value_counts.column_name
),

missing_shares as (
    select
        column_values.record_type,
        column_values.column_name,
        column_values.record_count,
        column_values.missing_count,
        cast(column_values.missing_count as double) / column_values.record_count
            as missing_share,
        column_values.unreadable_count,
        most_common_values.most_common_value,
        cast(column_values.most_common_count as double) / column_values.record_count
            as most_common_share
    from column_values
    left join most_common_values
        on
            column_values.record_type = most_common_values.record_type
            and column_values.column_name = most_common_values.column_name
)

select * from missing_shares
