{% set rows = [
    ['time before number', 2, '2018-01-01 00:00:00', 'b', 'a', 'b'],
    ['time before number', 1, '2018-01-01 00:00:00.000001', 'a', 'a', 'b'],
    ['ties by number', 9, '2018-01-01 00:00:00', 'b', 'c', 'b'],
    ['ties by number', 10, '2018-01-01 00:00:00', 'c', 'c', 'b'],
    ['undated precedes dated', 999999999999999999, none, 'b', 'a', 'b'],
    ['undated precedes dated', 0, '1900-01-01 00:00:00', 'a', 'a', 'b'],
    ['undated ties by number', 10, none, 'b', 'b', 'a'],
    ['undated ties by number', 9, none, 'a', 'b', 'a'],
    ['unknown is skipped', 1, '2018-01-01 00:00:00', none, 'a', 'a'],
    ['unknown is skipped', 2, '2018-01-02 00:00:00', 'a', 'a', 'a'],
    ['unknown is skipped', 3, '2018-01-03 00:00:00', none, 'a', 'a'],
    ['nothing is known', 1, '2018-01-01 00:00:00', none, none, none],
] %}

with

posts as (
    {{ value_table(
        {
            'rule': 'string',
            'post_id': 'bigint',
            'posted_at': 'timestamp',
            'written': 'string',
            'latest': 'string',
            'earliest': 'string',
        },
        rows
    ) }}
),

readings as (
    select
        rule,
        latest,
        earliest,
        {{ latest_known('written', 'posted_at', 'post_id') }} as actual_latest,
        {{ earliest_known('written', 'posted_at', 'post_id') }} as actual_earliest
    from posts
    group by rule, latest, earliest
)

select * from readings
where
    actual_latest is distinct from latest
    or actual_earliest is distinct from earliest
