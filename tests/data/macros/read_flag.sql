{% set cases = [
    ['1', true],
    ['1.0', true],
    ['true', true],
    ['True', true],
    ['0', false],
    ['0.0', false],
    ['false', false],
    ['FALSE', false],
    ['2', none],
    ['-1', none],
    ['t', none],
    ['yes', none],
    ['on', none],
    ['', none],
    [none, none],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'boolean'}, cases) }}
),

readings as (
    select
        written,
        expected,
        {{ read_flag('written') }} as actual
    from cases
)

select * from readings
where actual is distinct from expected
