{{ config(
    materialized='table',
    pre_hook="{{ note_new_files('dead_letter') }}"
) }}
-- depends_on: {{ source('landing', 'dead_letters') }}

with

letter_lines as (
    {{ landed_lines('dead_letter') }}
),

objects as (
    select
        *,
        {{ object_of('line') }} as object
    from letter_lines
),

parsed_letters as (
    select
        *,
        {{ parse_record('object', 'dead_letter') }} as record
    from objects
),

dead_letters as (
    select
        {{ record_type_of('topic') }} as record_type,
        topic,
        partition,
        file_start_offset as record_offset,
        record.reason,
        record.value as value_base64,
        file_path,
        landed_at
    from parsed_letters
)

select * from dead_letters
