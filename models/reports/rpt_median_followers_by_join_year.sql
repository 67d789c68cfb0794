with

users as (
    select
        *,
        {{ year_of('joined_at') }} as join_year
    from {{ ref('dim_users') }}
),

post_follower_counts as (
    select
        *,
        {{ year_of('joined_at') }} as join_year
    from {{ ref('int_follower_counts') }}
),

user_medians as (
    select
        join_year,
        median(follower_count) as median_follower_count,
        count(*) as user_count
    from users
    where follower_count is not null
    group by join_year
),

post_medians as (
    select
        join_year,
        median(follower_count) as median_follower_count_per_post
    from post_follower_counts
    group by join_year
),

medians as (
    select
        user_medians.join_year,
        user_medians.median_follower_count,
        post_medians.median_follower_count_per_post,
        user_medians.user_count
    from user_medians
    inner join post_medians
        on user_medians.join_year = post_medians.join_year
)

select * from medians
