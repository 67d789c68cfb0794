with

posts as (
    select * from {{ ref('fct_posts') }}
),

health as (
    select
        'pin' as record_type,
        count(*) filter (where has_pin) as event_count,
        count(*) filter (where not has_pin) as incomplete_post_count,
        cast(null as bigint) as unidentified_count,
        cast(null as timestamp) as newest_event_at
    from posts
    union all
    select
        'geo' as record_type,
        count(*) filter (where has_geolocation) as event_count,
        count(*) filter (where not has_geolocation) as incomplete_post_count,
        cast(null as bigint) as unidentified_count,
        max(posted_at) as newest_event_at
    from posts
    union all
    select
        'user' as record_type,
        count(*) filter (where has_user) as event_count,
        count(*) filter (where not has_user) as incomplete_post_count,
        count(*) filter (where user_id is null) as unidentified_count,
        cast(null as timestamp) as newest_event_at
    from posts
)

select * from health
