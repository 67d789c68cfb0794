{{ config(materialized='view') }}

with

users as (
    select * from {{ ref('dim_users') }}
),

changes as (
    select
        user_id,
        poster_name,
        first_follower_count,
        follower_count as latest_follower_count,
        follower_count - first_follower_count as follower_change
    from users
    where known_follower_counts >= 2
)

select * from changes
