{{ config(materialized='view') }}

with

newest_pins as (
    select * from {{ ref('int_newest_pins') }}
),

copies as (
    select * from {{ ref('stg_pinterest__pins') }}
),

entities as (
    select {{ map_of('entity', 'code_point') }} as code_points
    from {{ ref('html_entities') }}
),

pins as (
    select
        copies.post_id,
        copies.unique_id,
        {{ decode_html('copies.title', 'entities.code_points') }} as title,
        {{ decode_html('copies.description', 'entities.code_points') }} as description,
        copies.poster_name,
        copies.follower_count,
        copies.tag_list,
        copies.media_type,
        copies.image_url,
        copies.is_downloaded,
        copies.save_location,
        copies.category
    from newest_pins
    inner join copies
        on {{ is_same_place('newest_pins', 'copies') }}
    cross join entities
)

select * from pins
