{{ config(severity='warn') }}

select
    post_id,
    age
from {{ ref('fct_posts') }}
where age not between 1 and 119
