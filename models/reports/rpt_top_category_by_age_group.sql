with

users as (
    select * from {{ ref('dim_users') }}
    where age_group is not null
),

posts as (
    select * from {{ ref('fct_posts') }}
    where category is not null
),

category_counts as (
    select
        users.age_group,
        posts.category,
        count(*) as category_count
    from posts
    inner join users
        on posts.user_id = users.user_id
    group by users.age_group, posts.category
),

top_categories as (
    select
        age_group,
        category,
        category_count
    from category_counts
    qualify rank() over (partition by age_group order by category_count desc) = 1
)

select * from top_categories
