-- sqlfluff:dialect:postgres
{#- The linter's dialect of DuckDB does not know grouping sets. -#}
{{ config(materialized='view') }}

with

{% set plurals = {'pin': 'pins', 'geo': 'geolocations', 'user': 'users'} -%}
{% for record_type, plural in plurals.items() %}
{% set fields = record_fields(record_type)[1:] -%}
{{ record_type }}_missing as (
    {{ missing_values_of(record_type) }}
),

{{ record_type }}_texts as (
    select
        {%- for field in fields %}
        {%- set missing = record_type ~ '_missing.' ~ field %}
        {{ known_text('copies.' ~ field, missing) }} as {{ field }},
        {%- endfor %}
        copies.{{ place_columns() | join(', copies.') }}
    from {{ ref('base_pinterest__' ~ plural) }} as copies
    cross join {{ record_type }}_missing
),

-- Judged before the join, which would carry all texts along.
{{ record_type }}_records as (
    select
        {%- for field in fields %}
        case
            when {{ field }} is null then 'missing'
            {%- set unreadable = unreadable_text(field, field) %}
            {{ "when " ~ unreadable ~ " then 'unreadable'" if unreadable }}
            else 'known'
        end as {{ field }},
        {%- endfor %}
        {{ place_columns() | join(', ') }}
    from {{ record_type }}_texts
),
{% endfor %}
-- All columns of a record in one pass: in a row, one of them is not null.
state_counts as (
    {%- for record_type, plural in plurals.items() %}
    {%- set fields = record_fields(record_type)[1:] %}
    select
        '{{ record_type }}' as record_type,
        case
            {%- for field in fields %}
            when grouping(records.{{ field }}) = 0 then '{{ field }}'
            {%- endfor %}
        end as column_name,
        coalesce(records.{{ fields | join(', records.') }}) as state,
        count(*) as record_count
    from {{ record_type }}_records as records
    inner join {{ ref('int_newest_' ~ plural) }} as newest
        on {{ is_same_place('records', 'newest') }}
    group by grouping sets ((records.{{ fields | join('), (records.') }}))
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

column_counts as (
    select
        record_type,
        column_name,
        cast(sum(record_count) as bigint) as record_count,
        cast(
            coalesce(sum(record_count) filter (where state = 'missing'), 0) as bigint
        ) as missing_count,
        cast(
            coalesce(sum(record_count) filter (where state = 'unreadable'), 0)
            as bigint
        ) as unreadable_count
    from state_counts
    group by record_type, column_name
),

missing_shares as (
    select
        record_type,
        column_name,
        record_count,
        missing_count,
        cast(missing_count as double) / record_count as missing_share,
        unreadable_count
    from column_counts
)

select * from missing_shares
