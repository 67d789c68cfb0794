with

fresh_pins as (
    select
        post_id,
        category,
        poster_name,
        follower_count,
        {{ rewritten_items('tag_list') }} as rewritten_tags,
        topic,
        partition,
        file_start_offset,
        line_number,
        loaded_at
    from {{ ref('stg_pinterest__pins') }}
    {{ loaded_since_last_run() }}
),

candidates as (
    select * from fresh_pins
    {%- if is_incremental() %}
    union all
    select
        stored.post_id,
        stored.category,
        stored.poster_name,
        stored.follower_count,
        stored.rewritten_tags,
        stored.topic,
        stored.partition,
        stored.file_start_offset,
        stored.line_number,
        stored.loaded_at
    from {{ this }} as stored
    where stored.post_id in (select fresh_pins.post_id from fresh_pins)
    {%- endif %}
),

newest_pins as (
    select * from candidates
    qualify
        row_number() over (partition by post_id order by {{ newest_first() }}) = 1
)

select * from newest_pins
