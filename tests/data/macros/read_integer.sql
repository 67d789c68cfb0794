{% set cases = [
    ['34', 34],
    ['34.0', 34],
    ['34.000', 34],
    ['+34', 34],
    ['-1', -1],
    ['0', 0],
    ['-0', 0],
    ['007', 7],
    ['200', 200],
    ['999999999', 999999999],
    ['1000000000', none],
    ['34.5', none],
    ['34.', none],
    ['.5', none],
    ['1_000', none],
    ['1,000', none],
    ['0x10', none],
    ['1e1', none],
    ['3 4', none],
    ['--1', none],
    ['abc', none],
    ['NaN', none],
    ['Infinity', none],
    ['true', none],
    ['34\u0085', none],
    ['34\u2028', none],
    ['34\u2029', none],
    ['34.0\u2028', none],
    ['', none],
    [none, none],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'int'}, cases) }}
),

readings as (
    select
        written,
        expected,
        {{ read_integer('written') }} as actual
    from cases
)

select * from readings
where actual is distinct from expected
