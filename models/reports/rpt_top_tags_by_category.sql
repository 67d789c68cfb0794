with

newest_pins as (
    select * from {{ ref('int_newest_pins') }}
    where category is not null
),

copies as (
    select * from {{ ref('stg_pinterest__pins') }}
),

pins as (
    select
        newest_pins.category,
        coalesce(newest_pins.rewritten_tags, copies.tag_list) as tags
    from newest_pins
    inner join copies
        on {{ is_same_place('newest_pins', 'copies') }}
),

post_tags as (
    select
        category,
        {{ explode_items('tags') }} as tag
    from pins
    where tags <> ''
),

tag_counts as (
    select
        category,
        tag,
        count(*) as post_count
    from post_tags
    group by category, tag
),

top_tags as (
    select
        category,
        tag,
        post_count,
        cast(
            rank() over (partition by category order by post_count desc) as int
        ) as tag_rank
    from tag_counts
    qualify tag_rank <= 10
)

select * from top_tags
