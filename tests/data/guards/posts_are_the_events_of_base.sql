{{ config(group='pipeline') }}
{# An event number with a valid record in any topic is one post, and nothing else is. #}

with

events as (
    {%- for plural in ['pins', 'geolocations', 'users'] %}
    select post_id from {{ ref('base_pinterest__' ~ plural) }}
    where reject_reason is null
    {{ "union" if not loop.last }}
    {%- endfor %}
),

posts as (
    select * from {{ ref('fct_posts') }}
)

select
    events.post_id as event_number,
    posts.post_id
from events
full outer join posts
    on events.post_id = posts.post_id
where events.post_id is null or posts.post_id is null
