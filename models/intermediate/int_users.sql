{% set people = 'touched_users' if is_incremental() else 'posts' -%}
{{ config(
    unique_key='user_id',
    incremental_strategy='delete+insert' if target.type == 'duckdb' else 'merge',
    liquid_clustered_by='user_id',
    on_schema_change='fail',
    post_hook='delete from {{ this }} where post_count = 0'
) }}
-- depends_on: {{ ref('stg_pinterest__users') }}
-- Nearly all rows are updates here, and in a merge DuckDB does them column by column.

with

{% if is_incremental() -%}
later_posts as (
    {%- for part in ['pin', 'geolocation', 'user'] %}
    select post_id from {{ ref('fct_posts') }}
    {{ loaded_since_last_run(part ~ '_loaded_at', part ~ '_loaded_at') }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

touched_posts as (
    select {{ distinct_few('post_id') }} as post_id
    from later_posts
),

-- By any copy of its user record: who a post is by now is among them, and who it was by.
touched_users as (
    select distinct {{ user_id('first_name', 'last_name', 'joined_at') }} as user_id
    from {{ ref('stg_pinterest__users') }}
    where post_id in (select touched_posts.post_id from touched_posts)
),

{% endif -%}
posts as (
    select * from {{ ref('fct_posts') }}
    where user_id is not null
),

users as (
    select
        {{ people }}.user_id,
        any_value(posts.first_name) as first_name,
        any_value(posts.last_name) as last_name,
        any_value(posts.joined_at) as joined_at,
        {{ latest_known('posts.age', 'posts.posted_at', 'posts.post_id') }} as age,
        {{ latest_known('posts.poster_name', 'posts.posted_at', 'posts.post_id') }}
            as poster_name,
        {{ latest_known('posts.follower_count', 'posts.posted_at', 'posts.post_id') }}
            as follower_count,
        {{ earliest_known('posts.follower_count', 'posts.posted_at', 'posts.post_id') }}
            as first_follower_count,
        count(posts.follower_count) as known_follower_counts,
        {{ sorted_known('posts.follower_count') }} as post_follower_counts,
        -- Who has no post any more gets a row that counts 0, for the hook to delete.
        count(posts.post_id) as post_count,
        min(posts.posted_at) as first_posted_at,
        max(posts.posted_at) as latest_posted_at,
        max(posts.pin_loaded_at) as pin_loaded_at,
        max(posts.geolocation_loaded_at) as geolocation_loaded_at,
        max(posts.user_loaded_at) as user_loaded_at
    from {{ people }}
    {%- if is_incremental() %}
    left join posts
        on touched_users.user_id = posts.user_id
    where touched_users.user_id is not null
    {%- endif %}
    group by {{ people }}.user_id
)

select * from users
