{{ config(group='pipeline') }}
{#
    A post has the values of the newest copy of each part, and the time of its load. Values differ
    where base was refreshed alone after its files or the code had changed: then rebuild
    all with a full refresh.
#}

with

posts as (
    select * from {{ ref('fct_posts') }}
),

pins as (
    select * from {{ ref('int_newest_pins') }}
),

geolocations as (
    select * from {{ ref('int_newest_geolocations') }}
),

users as (
    select * from {{ ref('int_newest_users') }}
)

select posts.post_id
from posts
left join pins
    on posts.post_id = pins.post_id
left join geolocations
    on posts.post_id = geolocations.post_id
left join users
    on posts.post_id = users.post_id
where
    posts.user_id is distinct from
    {{ user_id('users.first_name', 'users.last_name', 'users.joined_at') }}
    or posts.has_pin is distinct from (pins.post_id is not null)
    or posts.has_geolocation is distinct from (geolocations.post_id is not null)
    or posts.has_user is distinct from (users.post_id is not null)
    {%- for relation, part, columns in [
        ('pins', 'pin', ['poster_name', 'follower_count', 'category']),
        ('geolocations', 'geolocation', ['country', 'posted_at']),
        ('users', 'user', ['first_name', 'last_name', 'joined_at', 'age']),
    ] %}
    or posts.{{ part }}_loaded_at is distinct from {{ relation }}.loaded_at
    {%- for column in columns %}
    or posts.{{ column }} is distinct from {{ relation }}.{{ column }}
    {%- endfor %}
    {%- endfor %}
