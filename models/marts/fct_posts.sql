{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key='post_id',
    on_schema_change='fail'
) }}

with

{% set parts = {'pins': 'pin', 'geolocations': 'geolocation', 'users': 'user'} -%}
{#- References stand where they are read: DuckDB copies a CTE that is read twice. -#}
{% if is_incremental() -%}
touched_posts as (
    {%- for plural, part in parts.items() %}
    select post_id from {{ ref('int_newest_' ~ plural) }}
    {{ loaded_since_last_run(stored=part ~ '_loaded_at') }}
    {{ "union" if not loop.last }}
    {%- endfor %}
),

{% endif -%}
{% for plural in parts -%}
{{ plural }} as (
    select * from {{ ref('int_newest_' ~ plural) }}
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
        pins.loaded_at as pin_loaded_at,
        geolocations.loaded_at as geolocation_loaded_at,
        users.loaded_at as user_loaded_at
    from pins
    full outer join geolocations
        on pins.post_id = geolocations.post_id
    full outer join users
        on coalesce(pins.post_id, geolocations.post_id) = users.post_id
)

select * from posts
