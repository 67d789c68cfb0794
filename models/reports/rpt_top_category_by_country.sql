with

posts as (
    select * from {{ ref('fct_posts') }}
    where country is not null and category is not null
),

category_counts as (
    select
        country,
        category,
        count(*) as category_count
    from posts
    group by country, category
),

top_categories as (
    select
        country,
        category,
        category_count
    from category_counts
    qualify rank() over (partition by country order by category_count desc) = 1
)

select * from top_categories
