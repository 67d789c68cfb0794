{{ config(pre_hook="{{ note_new_files('pin') }}") }}
-- depends_on: {{ source('landing', 'pins') }}

with

landed_lines as (
    {{ landed_lines('pin') }}
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
        {{ parse_record('object', 'pin') }} as record
    from objects
),

keyed_lines as (
    select
        *,
        {{ read_event_number(trim_text('record.index')) }} as post_id
    from parsed_lines
),

judged_lines as (
    select
        *,
        {{ reject_reason('pin') }} as reject_reason
    from keyed_lines
),

pin_lines as (
    select
        post_id,
        record.unique_id,
        record.title,
        record.description,
        record.poster_name,
        record.follower_count,
        record.tag_list,
        record.is_image_or_video,
        record.image_src,
        record.downloaded,
        record.save_location,
        record.category,
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

select * from pin_lines
