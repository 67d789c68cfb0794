{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key='post_id',
    on_schema_change='fail'
) }}

with

pins as (
    select * from {{ ref('int_newest_pins') }}
),

geolocations as (
    select * from {{ ref('int_newest_geolocations') }}
),

users as (
    select * from {{ ref('int_newest_users') }}
),

posts as (
    select
        coalesce(pins.post_id, geolocations.post_id, users.post_id) as post_id,
        {{ user_id('users.first_name', 'users.last_name', 'users.joined_at') }}
            as user_id,
        users.first_name,
        users.last_name,
        users.joined_at,
        users.age,
        pins.poster_name,
        pins.follower_count,
        pins.category,
        geolocations.country,
        geolocations.posted_at,
        pins.post_id is not null as has_pin,
        geolocations.post_id is not null as has_geolocation,
        users.post_id is not null as has_user,
        {{ places_of('pins', 'pin') }},
        {{ places_of('geolocations', 'geolocation') }},
        {{ places_of('users', 'user') }}
    from pins
    full outer join geolocations
        on pins.post_id = geolocations.post_id
    full outer join users
        on coalesce(pins.post_id, geolocations.post_id) = users.post_id
),

touched_posts as (
    select posts.*
    from posts
    {%- if is_incremental() %}
    left join {{ this }} as stored
        on posts.post_id = stored.post_id
    where
        stored.post_id is null
        or {{ place_differs('posts', 'stored') }}
    {%- endif %}
)

select * from touched_posts
