{{ config(materialized='view') }}

with

rejects as (
    {%- for record_type, base in [
        ('pin', 'pins'), ('geo', 'geolocations'), ('user', 'users')
    ] %}
    select
        '{{ record_type }}' as record_type,
        topic,
        partition,
        file_path,
        file_start_offset,
        line_number + 1 as line_number,
        reject_reason as reason,
        raw_line,
        landed_at
    from {{ ref('base_pinterest__' ~ base) }}
    where reject_reason is not null
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select * from rejects
