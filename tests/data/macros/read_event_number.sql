{% set cases = [
    ['0', 0],
    ['7528', 7528],
    ['007', 7],
    ['999999999999999999', 999999999999999999],
    ['1000000000000000000', none],
    ['0000000000000000001', none],
    ['-1', none],
    ['+1', none],
    ['1.5', none],
    ['1.0', none],
    ['1e3', none],
    ['1_000', none],
    ['1,000', none],
    ['0x10', none],
    ['12x', none],
    ['1 2', none],
    ['١٢', none],
    ['7\u0085', none],
    ['7\u2028', none],
    ['7\u2029', none],
    ['NaN', none],
    ['null', none],
    ['true', none],
    ['', none],
    [none, none],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'bigint'}, cases) }}
),

readings as (
    select
        written,
        expected,
        {{ read_event_number('written') }} as actual
    from cases
)

select * from readings
where actual is distinct from expected
