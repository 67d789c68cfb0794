with

users as (
    select * from {{ ref('dim_users') }}
    where follower_count is not null and poster_name is not null
),

posts as (
    select * from {{ ref('fct_posts') }}
    where country is not null
),

candidates as (
    select
        posts.country,
        users.user_id,
        users.poster_name,
        users.follower_count
    from posts
    inner join users
        on posts.user_id = users.user_id
),

-- Two steps: ranking every candidate costs more than finding the maxima.
top_counts as (
    select
        country,
        max(follower_count) as follower_count
    from candidates
    group by country
),

top_users as (
    select
        candidates.country,
        candidates.poster_name,
        candidates.follower_count
    from candidates
    inner join top_counts
        on
            candidates.country = top_counts.country
            and candidates.follower_count = top_counts.follower_count
    group by
        candidates.country,
        candidates.user_id,
        candidates.poster_name,
        candidates.follower_count
)

select * from top_users
