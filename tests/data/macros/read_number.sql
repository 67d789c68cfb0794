{% set cases = [
    ['0', 0],
    ['-0.0', 0],
    ['91', 91],
    ['-90.5', -90.5],
    ['+1.25', 1.25],
    ['179.999999999999', 179.999999999999],
    ['1e2', 100],
    ['1.5E-3', 0.0015],
    ['2.5e+1', 25],
    ['1e400', none],
    ['1e', none],
    ['.5', none],
    ['1.', none],
    ['1_0', none],
    ['1,5', none],
    ['0x10', none],
    ['1d', none],
    ['1f', none],
    ['12 N', none],
    ['NaN', none],
    ['nan', none],
    ['Infinity', none],
    ['-inf', none],
    ['north', none],
    ['91\u0085', none],
    ['91\u2028', none],
    ['91\u2029', none],
    ['', none],
    [none, none],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'double'}, cases) }}
),

readings as (
    select
        written,
        expected,
        {{ read_number('written') }} as actual
    from cases
)

select * from readings
where actual is distinct from expected
