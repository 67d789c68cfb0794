{{ config(materialized='view') }}

with

people as (
    select * from {{ ref('int_users') }}
    where post_count > 0
),

age_groups as (
    select * from {{ ref('age_groups') }}
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
    {{ join_age_groups() }}
)

select * from users
