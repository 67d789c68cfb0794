with

top_users as (
    select * from {{ ref('rpt_top_user_by_country') }}
),

top_of_all as (
    select
        country,
        poster_name,
        follower_count
    from top_users
    qualify rank() over (order by follower_count desc) = 1
)

select * from top_of_all
