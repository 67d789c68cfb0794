{# Every country with a post of a known category has one, and no greater count. #}

with

category_counts as (
    select
        country,
        category,
        count(*) as category_count
    from {{ ref('fct_posts') }}
    where country is not null and category is not null
    group by country, category
),

top_categories as (
    select
        country,
        max(category_count) as category_count
    from {{ ref('rpt_top_category_by_country') }}
    group by country
)

select
    category_counts.country,
    category_counts.category,
    category_counts.category_count
from category_counts
left join top_categories
    on category_counts.country = top_categories.country
where
    top_categories.country is null
    or category_counts.category_count > top_categories.category_count
