with

ranked_categories as (
    select * from {{ ref('rpt_category_counts_by_year') }}
),

top_categories as (
    select
        post_year,
        category,
        category_count
    from ranked_categories
    where category_rank = 1
)

select * from top_categories
