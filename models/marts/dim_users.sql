with

posts as (
    select * from {{ ref('fct_posts') }}
    where user_id is not null
),

age_groups as (
    select * from {{ ref('age_groups') }}
),

people as (
    select
        user_id,
        any_value(first_name) as first_name,
        any_value(last_name) as last_name,
        any_value(joined_at) as joined_at,
        {{ latest_known('age', 'posted_at', 'post_id') }} as age,
        {{ latest_known('poster_name', 'posted_at', 'post_id') }} as poster_name,
        {{ latest_known('follower_count', 'posted_at', 'post_id') }} as follower_count,
        {{ earliest_known('follower_count', 'posted_at', 'post_id') }}
            as first_follower_count,
        count(follower_count) as known_follower_counts,
        count(*) as post_count,
        min(posted_at) as first_posted_at,
        max(posted_at) as latest_posted_at
    from posts
    group by user_id
),

users as (
    select
        people.user_id,
        people.first_name,
        people.last_name,
        people.joined_at,
        people.age,
        age_groups.age_group,
        people.poster_name,
        people.follower_count,
        people.first_follower_count,
        people.known_follower_counts,
        people.post_count,
        people.first_posted_at,
        people.latest_posted_at
    from people
    left join age_groups
        on
            people.age >= age_groups.min_age
            and people.age <= coalesce(age_groups.max_age, people.age)
)

select * from users
