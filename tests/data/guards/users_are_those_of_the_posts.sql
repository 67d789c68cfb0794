{{ config(group='pipeline') }}
{#
    Each user is what all posts tell of one, grouped anew. Who is not was loaded before
    the code or a seed changed, or base was refreshed alone: then rebuild all with a full
    refresh.
#}

with

posts as (
    select * from {{ ref('fct_posts') }}
    where user_id is not null
),

fresh_users as (
    select
        user_id,
        min(first_name) as first_name,
        min(last_name) as last_name,
        min(joined_at) as joined_at,
        {{ latest_known('age', 'posted_at', 'post_id') }} as age,
        {{ latest_known('poster_name', 'posted_at', 'post_id') }} as poster_name,
        {{ latest_known('follower_count', 'posted_at', 'post_id') }} as follower_count,
        {{ earliest_known('follower_count', 'posted_at', 'post_id') }}
            as first_follower_count,
        count(follower_count) as known_follower_counts,
        {{ sorted_known('follower_count') }} as post_follower_counts,
        count(*) as post_count,
        min(posted_at) as first_posted_at,
        max(posted_at) as latest_posted_at
    from posts
    group by user_id
),

people as (
    select * from {{ ref('int_users') }}
),

-- `dim_users` has all but the lists.
users as (
    select
        dim_users.*,
        people.post_follower_counts
    from {{ ref('dim_users') }} as dim_users
    left join people
        on dim_users.user_id = people.user_id
)

select
    fresh_users.user_id as user_id_of_posts,
    users.user_id
from fresh_users
full outer join users
    on fresh_users.user_id = users.user_id
where
    fresh_users.user_id is null
    or users.user_id is null
    {%- for column in [
        'first_name', 'last_name', 'joined_at', 'age', 'poster_name', 'follower_count',
        'first_follower_count', 'known_follower_counts', 'post_follower_counts',
        'post_count', 'first_posted_at', 'latest_posted_at',
    ] %}
    or fresh_users.{{ column }} is distinct from users.{{ column }}
    {%- endfor %}
