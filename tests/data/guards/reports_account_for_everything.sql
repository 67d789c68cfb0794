{{ config(group='pipeline') }}
{# Two ways to count the same: a report's rows add up to what they were made of. #}

with

posts as (
    select
        count(*) filter (where category is not null and posted_at is not null)
            as with_category_and_time,
        count(*) filter (where user_id is null) as without_user,
        count(*) filter (where has_pin) as with_pin,
        count(*) filter (where has_geolocation) as with_geolocation,
        count(*) filter (where has_user) as with_user_record
    from {{ ref('fct_posts') }}
),

counts as (
    select
        'posts by category over years' as identity,
        coalesce(sum(category_count), 0) as counted,
        (select posts.with_category_and_time from posts) as expected
    from {{ ref('rpt_category_counts_by_year') }}
    union all
    select
        'posts by category over months' as identity,
        coalesce(sum(category_count), 0) as counted,
        (select posts.with_category_and_time from posts) as expected
    from {{ ref('rpt_category_counts_by_month') }}
    union all
    select
        'users joined over years' as identity,
        coalesce(sum(number_users_joined), 0) as counted,
        (select count(*) from {{ ref('dim_users') }}) as expected
    from {{ ref('rpt_users_joined_by_year') }}
    union all
    select
        'unidentified posts' as identity,
        sum(unidentified_count) as counted,
        (select posts.without_user from posts) as expected
    from {{ ref('rpt_event_health') }}
    {%- for record_type, plural, posts_with in [
        ('pin', 'pins', 'with_pin'),
        ('geo', 'geolocations', 'with_geolocation'),
        ('user', 'users', 'with_user_record'),
    ] %}
    union all
    select
        '{{ record_type }}: landed = rejected + valid' as identity,
        (select count(*) from {{ ref('base_pinterest__' ~ plural) }}) as counted,
        (
            select count(*) from {{ ref('rejected_records') }}
            where record_type = '{{ record_type }}'
        )
        + (select count(*) from {{ ref('stg_pinterest__' ~ plural) }}) as expected
    union all
    select
        '{{ record_type }}: newest = posts with the part' as identity,
        coalesce(sum(newest_count), 0) as counted,
        (select posts.{{ posts_with }} from posts) as expected
    from {{ ref('rpt_pipeline_health') }}
    where record_type = '{{ record_type }}'
    union all
    select
        '{{ record_type }}: landed = landed over topics' as identity,
        coalesce(sum(landed_count), 0) as counted,
        (select count(*) from {{ ref('base_pinterest__' ~ plural) }}) as expected
    from {{ ref('rpt_pipeline_health') }}
    where record_type = '{{ record_type }}'
    {%- endfor %}
)

select * from counts
where counted is distinct from expected
