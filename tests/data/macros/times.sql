{% set cases = [
    ['2018-01-01 00:00:00', 0, '2018-01-01 00:00:00', 2018, 1514764800000000],
    ['2018-01-01 00:00:00', 1, '2017-12-31 23:59:00', 2018, 1514764800000000],
    ['2017-12-31 23:59:59.999999', -330, '2018-01-01 05:29:59.999999',
        2017, 1514764799999999],
    ['2020-02-29 12:00:00', 1440, '2020-02-28 12:00:00', 2020, 1582977600000000],
    ['1969-12-31 23:59:59', 0, '1969-12-31 23:59:59', 1969, -1000000],
    [none, 1, none, none, none],
    ['2018-01-01 00:00:00', none, none, 2018, 1514764800000000],
] %}

with

cases as (
    {{ value_table(
        {
            'written': 'timestamp',
            'minutes': 'int',
            'earlier': 'timestamp',
            'year_written': 'int',
            'microseconds_written': 'bigint',
        },
        cases
    ) }}
),

readings as (
    select
        *,
        {{ minus_minutes('written', 'minutes') }} as actual_earlier,
        {{ year_of('written') }} as actual_year,
        {{ microseconds('written') }} as actual_microseconds
    from cases
)

select * from readings
where
    actual_earlier is distinct from earlier
    or actual_year is distinct from year_written
    or actual_microseconds is distinct from microseconds_written
