{{ config(group='pipeline') }}
{#
    The counts of the blocks add up to a fresh count over all newest pins. Where they do
    not, base was refreshed alone after the code or a seed had changed: then rebuild all
    with a full refresh.
#}

with

newest_pins as (
    select * from {{ ref('int_newest_pins') }}
),

copies as (
    select * from {{ ref('stg_pinterest__pins') }}
),

pins as (
    select
        newest_pins.category,
        coalesce({{ rewritten_items('copies.tag_list') }}, copies.tag_list) as tags
    from newest_pins
    inner join copies
        on {{ is_same_place('newest_pins', 'copies') }}
    where newest_pins.category is not null
),

post_tags as (
    select
        category,
        {{ explode_items('tags') }} as tag
    from pins
    where tags <> ''
),

fresh_counts as (
    select
        category,
        tag,
        count(*) as post_count
    from post_tags
    group by category, tag
),

stored_counts as (
    select
        category,
        tag,
        sum(post_count) as post_count
    from {{ ref('int_tag_counts') }}
    group by category, tag
)

select
    coalesce(fresh_counts.category, stored_counts.category) as category,
    coalesce(fresh_counts.tag, stored_counts.tag) as tag,
    fresh_counts.post_count as fresh_count,
    stored_counts.post_count as stored_count
from fresh_counts
full outer join stored_counts
    on
        fresh_counts.category = stored_counts.category
        and fresh_counts.tag = stored_counts.tag
where fresh_counts.post_count is distinct from stored_counts.post_count
