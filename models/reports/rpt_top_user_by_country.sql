with

users as (
    select * from {{ ref('dim_users') }}
    where follower_count is not null and poster_name is not null
),

posts as (
    select * from {{ ref('fct_posts') }}
    where country is not null
),

user_countries as (
    select distinct
        user_id,
        country
    from posts
),

top_users as (
    select
        user_countries.country,
        users.poster_name,
        users.follower_count
    from user_countries
    inner join users
        on user_countries.user_id = users.user_id
    qualify
        rank() over (
            partition by user_countries.country order by users.follower_count desc
        ) = 1
)

select * from top_users
