with

pins as (
    select * from {{ ref('dim_pins') }}
    where category is not null and tag_list is not null
),

listed_tags as (
    select
        post_id,
        category,
        {{ explode_list('tag_list') }} as listed_tag
    from pins
),

post_tags as (
    select distinct
        post_id,
        category,
        {{ known_text('listed_tag') }} as tag
    from listed_tags
),

tag_counts as (
    select
        category,
        tag,
        count(*) as post_count
    from post_tags
    where tag is not null
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
