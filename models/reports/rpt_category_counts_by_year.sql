with

posts as (
    select * from {{ ref('fct_posts') }}
    where posted_at is not null and category is not null
),

category_counts as (
    select
        {{ year_of('posted_at') }} as post_year,
        category,
        count(*) as category_count
    from posts
    group by {{ year_of('posted_at') }}, category
),

ranked_categories as (
    select
        post_year,
        category,
        category_count,
        cast(
            rank() over (partition by post_year order by category_count desc) as int
        ) as category_rank
    from category_counts
)

select * from ranked_categories
