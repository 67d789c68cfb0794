{{ config(pre_hook="{{ note_new_files('geo') }}") }}
-- depends_on: {{ source('landing', 'geolocations') }}

with

landed_lines as (
    {{ landed_lines('geo') }}
),

objects as (
    select
        *,
        {{ object_of('line') }} as object
    from landed_lines
),

parsed_lines as (
    select
        *,
        {{ parse_record('object', 'geo') }} as record
    from objects
),

keyed_lines as (
    select
        *,
        {{ read_event_number(trim_text('record.ind')) }} as post_id
    from parsed_lines
),

judged_lines as (
    select
        *,
        {{ reject_reason('geo') }} as reject_reason
    from keyed_lines
),

geo_lines as (
    select
        post_id,
        record.timestamp,
        record.latitude,
        record.longitude,
        record.country,
        reject_reason,
        case when reject_reason is not null then line end as raw_line,
        topic,
        partition,
        file_path,
        file_start_offset,
        line_number,
        file_size,
        landed_at,
        {{ load_time() }} as loaded_at
    from judged_lines
)

select * from geo_lines
