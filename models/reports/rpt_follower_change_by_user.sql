with

posts as (
    select * from {{ ref('fct_posts') }}
    where user_id is not null and follower_count is not null
),

users as (
    select * from {{ ref('dim_users') }}
),

known_counts as (
    select
        user_id,
        {{ earliest_known('follower_count', 'posted_at', 'post_id') }}
            as first_follower_count,
        {{ latest_known('follower_count', 'posted_at', 'post_id') }}
            as latest_follower_count
    from posts
    group by user_id
    having count(*) >= 2
),

changes as (
    select
        known_counts.user_id,
        users.poster_name,
        known_counts.first_follower_count,
        known_counts.latest_follower_count,
        known_counts.latest_follower_count - known_counts.first_follower_count
            as follower_change
    from known_counts
    inner join users
        on known_counts.user_id = users.user_id
)

select * from changes
