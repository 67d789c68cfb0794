with

posts as (
    select * from {{ ref('fct_posts') }}
    where posted_at is not null and category is not null
),

category_counts as (
    select
        cast(date_trunc('month', posted_at) as date) as post_month,
        category,
        count(*) as category_count
    from posts
    group by cast(date_trunc('month', posted_at) as date), category
)

select * from category_counts
