with

users as (
    select * from {{ ref('dim_users') }}
    where age_group is not null
),

post_follower_counts as (
    select * from {{ ref('int_follower_counts') }}
    where age_group is not null
),

user_medians as (
    select
        age_group,
        median(follower_count) as median_follower_count,
        count(*) as user_count
    from users
    where follower_count is not null
    group by age_group
),

post_medians as (
    select
        age_group,
        median(follower_count) as median_follower_count_per_post
    from post_follower_counts
    group by age_group
),

medians as (
    select
        user_medians.age_group,
        user_medians.median_follower_count,
        post_medians.median_follower_count_per_post,
        user_medians.user_count
    from user_medians
    inner join post_medians
        on user_medians.age_group = post_medians.age_group
)

select * from medians
