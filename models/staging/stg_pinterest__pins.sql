with

base_pins as (
    select * from {{ ref('base_pinterest__pins') }}
),

missing_values as (
    {{ missing_values_of('pin') }}
),

known_values as (
    select
        base_pins.post_id,
        {{ known_text('base_pins.unique_id', 'missing_values.unique_id') }}
            as unique_id,
        {{ known_text('base_pins.title', 'missing_values.title') }} as title,
        {{ known_text('base_pins.description', 'missing_values.description') }}
            as description,
        {{ known_text('base_pins.poster_name', 'missing_values.poster_name') }}
            as poster_name,
        {{ known_text('base_pins.follower_count', 'missing_values.follower_count') }}
            as follower_count,
        {{ known_text('base_pins.tag_list', 'missing_values.tag_list') }} as tag_list,
        {{ known_text(
            'base_pins.is_image_or_video', 'missing_values.is_image_or_video'
        ) }}
            as media_type,
        {{ known_text('base_pins.image_src', 'missing_values.image_src') }}
            as image_url,
        {{ known_text('base_pins.downloaded', 'missing_values.downloaded') }}
            as downloaded,
        {{ known_text('base_pins.save_location', 'missing_values.save_location') }}
            as save_location,
        {{ known_text('base_pins.category', 'missing_values.category') }} as category,
        base_pins.topic,
        base_pins.partition,
        base_pins.file_path,
        base_pins.file_start_offset,
        base_pins.line_number,
        base_pins.landed_at,
        base_pins.loaded_at
    from base_pins
    cross join missing_values
    where base_pins.reject_reason is null
),

pins as (
    select
        post_id,
        unique_id,
        title,
        description,
        poster_name,
        {{ read_follower_count('follower_count') }} as follower_count,
        tag_list,
        media_type,
        image_url,
        {{ read_flag('downloaded') }} as is_downloaded,
        save_location,
        category,
        topic,
        partition,
        file_path,
        file_start_offset,
        line_number,
        landed_at,
        loaded_at
    from known_values
)

select * from pins
