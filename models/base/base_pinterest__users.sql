{{ config(pre_hook="{{ note_new_files('user') }}") }}
-- depends_on: {{ source('landing', 'users') }}

with

landed_lines as (
    {{ landed_lines('user') }}
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
        {{ parse_record('object', 'user') }} as record
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
        {{ reject_reason('user') }} as reject_reason
    from keyed_lines
),

user_lines as (
    select
        post_id,
        record.first_name,
        record.last_name,
        record.age,
        record.date_joined,
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

select * from user_lines
