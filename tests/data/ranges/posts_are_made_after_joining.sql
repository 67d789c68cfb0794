{{ config(severity='warn') }}

select
    post_id,
    joined_at,
    posted_at
from {{ ref('fct_posts') }}
where posted_at < joined_at
