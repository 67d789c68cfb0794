with

base_geolocations as (
    select * from {{ ref('base_pinterest__geolocations') }}
),

missing_values as (
    {{ missing_values_of('geo') }}
),

known_values as (
    select
        base_geolocations.post_id,
        {{ known_text('base_geolocations.timestamp', 'missing_values.timestamp') }}
            as posted_at,
        {{ known_text('base_geolocations.latitude', 'missing_values.latitude') }}
            as latitude,
        {{ known_text('base_geolocations.longitude', 'missing_values.longitude') }}
            as longitude,
        {{ known_text('base_geolocations.country', 'missing_values.country') }}
            as country,
        base_geolocations.topic,
        base_geolocations.partition,
        base_geolocations.file_path,
        base_geolocations.file_start_offset,
        base_geolocations.line_number,
        base_geolocations.landed_at,
        base_geolocations.loaded_at
    from base_geolocations
    cross join missing_values
    where base_geolocations.reject_reason is null
),

geolocations as (
    select
        post_id,
        {{ read_timestamp('posted_at') }} as posted_at,
        {{ read_number('latitude') }} as latitude,
        {{ read_number('longitude') }} as longitude,
        country,
        topic,
        partition,
        file_path,
        file_start_offset,
        line_number,
        landed_at,
        loaded_at
    from known_values
)

select * from geolocations
