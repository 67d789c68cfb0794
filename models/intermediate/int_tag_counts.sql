{% set post_block = 'post_id - post_id % 100000' -%}
{{ config(
    unique_key=['post_block', 'category', 'tag'],
    liquid_clustered_by='post_block',
    post_hook='delete from {{ this }} where post_count = 0'
) }}

with

{% if is_incremental() -%}
touched_blocks as (
    select {{ distinct_few(post_block) }} as post_block
    from {{ ref('int_newest_pins') }}
    {{ loaded_since_last_run() }}
),

{% endif -%}
newest_pins as (
    select
        *,
        {{ post_block }} as post_block
    from {{ ref('int_newest_pins') }}
    where category is not null
),

copies as (
    select * from {{ ref('stg_pinterest__pins') }}
),

pins as (
    select
        newest_pins.post_block,
        newest_pins.category,
        coalesce(newest_pins.rewritten_tags, copies.tag_list) as tags,
        newest_pins.loaded_at
    from newest_pins
    inner join copies
        on {{ is_same_place('newest_pins', 'copies') }}
    {%- if is_incremental() %}
    where newest_pins.post_block in (select touched_blocks.post_block from touched_blocks)
    {%- endif %}
),

post_tags as (
    select
        post_block,
        category,
        {{ explode_items('tags') }} as tag,
        1 as post_count,
        loaded_at
    from pins
    where tags <> ''
    {%- if is_incremental() %}
    union all
    -- A tag that no post of the block has any more would keep its count in a merge.
    select
        post_block,
        category,
        tag,
        0 as post_count,
        loaded_at
    from {{ this }}
    where post_block in (select touched_blocks.post_block from touched_blocks)
    {%- endif %}
),

tag_counts as (
    select
        post_block,
        category,
        tag,
        cast(sum(post_count) as bigint) as post_count,
        max(loaded_at) as loaded_at
    from post_tags
    group by post_block, category, tag
)

select * from tag_counts
