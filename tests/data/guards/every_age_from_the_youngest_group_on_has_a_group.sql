{{ config(group='pipeline') }}
{# The seed has no gap: only who is younger than all groups, or has no age, has none. #}

with

users as (
    select * from {{ ref('dim_users') }}
),

youngest as (
    select min(min_age) as min_age
    from {{ ref('age_groups') }}
)

select users.user_id
from users
cross join youngest
where
    (users.age_group is not null)
    is distinct from coalesce(users.age >= youngest.min_age, false)
