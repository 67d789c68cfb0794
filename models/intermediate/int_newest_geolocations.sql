with

fresh_geolocations as (
    select
        post_id,
        posted_at,
        country,
        topic,
        partition,
        file_start_offset,
        line_number,
        loaded_at
    from {{ ref('stg_pinterest__geolocations') }}
    {{ loaded_since_last_run() }}
),

candidates as (
    select * from fresh_geolocations
    {%- if is_incremental() %}
    union all
    select
        stored.post_id,
        stored.posted_at,
        stored.country,
        stored.topic,
        stored.partition,
        stored.file_start_offset,
        stored.line_number,
        stored.loaded_at
    from {{ this }} as stored
    where stored.post_id in (select fresh_geolocations.post_id from fresh_geolocations)
    {%- endif %}
),

newest_geolocations as (
    select * from candidates
    qualify
        row_number() over (partition by post_id order by {{ newest_first() }}) = 1
)

select * from newest_geolocations
