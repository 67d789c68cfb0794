{{ config(materialized='view') }}

with

people as (
    select * from {{ ref('int_users') }}
    where post_count > 0
),

age_groups as (
    select * from {{ ref('age_groups') }}
),

follower_counts as (
    select
        people.user_id,
        people.joined_at,
        age_groups.age_group,
        {{ explode('people.post_follower_counts') }} as follower_count
    from people
    {{ join_age_groups() }}
)

select * from follower_counts
