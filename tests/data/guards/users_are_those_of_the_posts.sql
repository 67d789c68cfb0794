{# Each user has posts, all of them counted; a post's user is there. #}

with

post_users as (
    select
        user_id,
        count(*) as post_count
    from {{ ref('fct_posts') }}
    where user_id is not null
    group by user_id
),

users as (
    select * from {{ ref('dim_users') }}
)

select
    post_users.user_id as user_id_of_posts,
    users.user_id
from post_users
full outer join users
    on post_users.user_id = users.user_id
where post_users.post_count is distinct from users.post_count
