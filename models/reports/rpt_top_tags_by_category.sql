with

block_counts as (
    select * from {{ ref('int_tag_counts') }}
    where post_count > 0
),

tag_counts as (
    select
        category,
        tag,
        cast(sum(post_count) as bigint) as post_count
    from block_counts
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
