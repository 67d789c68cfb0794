with

landed as (
    {%- for record_type, base in [
        ('pin', 'pins'), ('geo', 'geolocations'), ('user', 'users')
    ] %}
    select
        topic,
        '{{ record_type }}' as record_type,
        count(*) as landed_count,
        count(reject_reason) as rejected_count,
        count(*) filter (where reject_reason is null) as valid_count,
        max(landed_at) as landed_at
    from {{ ref('base_pinterest__' ~ base) }}
    group by topic
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

dead as (
    select
        topic,
        min(record_type) as record_type,
        count(*) as dead_letter_count,
        max(landed_at) as landed_at
    from {{ ref('base_pinterest__dead_letters') }}
    group by topic
),

newest as (
    {%- for plural in ['pins', 'geolocations', 'users'] %}
    select
        topic,
        count(*) as newest_count
    from {{ ref('int_newest_' ~ plural) }}
    group by topic
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

topics as (
    select
        coalesce(landed.topic, dead.topic) as topic,
        coalesce(landed.record_type, dead.record_type) as record_type,
        coalesce(landed.landed_count, 0) as landed_count,
        coalesce(landed.rejected_count, 0) as rejected_count,
        coalesce(dead.dead_letter_count, 0) as dead_letter_count,
        coalesce(landed.valid_count, 0) as valid_count,
        coalesce(newest.newest_count, 0) as newest_count,
        coalesce(landed.valid_count, 0) - coalesce(newest.newest_count, 0)
            as superseded_count,
        coalesce(landed.landed_at, dead.landed_at) as landed_at
    from landed
    full outer join dead
        on landed.topic = dead.topic
    left join newest
        on landed.topic = newest.topic
)

select * from topics
