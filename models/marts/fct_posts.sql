{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key='post_id',
    on_schema_change='fail'
) }}

with

{% for part in ['pins', 'geolocations', 'users'] -%}
newest_{{ part }} as (
    select * from {{ ref('int_newest_' ~ part) }}
),

{% endfor -%}
{% if is_incremental() -%}
stored_posts as (
    select * from {{ this }}
),

touched_posts as (
    {%- for part, prefix in [
        ('pins', 'pin'), ('geolocations', 'geolocation'), ('users', 'user')
    ] %}
    select coalesce(newest_{{ part }}.post_id, stored_posts.post_id) as post_id
    from newest_{{ part }}
    full outer join stored_posts
        on newest_{{ part }}.post_id = stored_posts.post_id
    where {{ has_moved('newest_' ~ part, 'stored_posts', prefix) }}
    {{ "union" if not loop.last }}
    {%- endfor %}
),

{% endif -%}
{% for part in ['pins', 'geolocations', 'users'] -%}
{{ part }} as (
    select * from newest_{{ part }}
    {%- if is_incremental() %}
    where post_id in (select touched_posts.post_id from touched_posts)
    {%- endif %}
),

{% endfor -%}
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
)

select * from posts
