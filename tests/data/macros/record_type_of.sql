{#- Whatever this project is told to read: dbt_project.yml as it comes. -#}
{% set patterns = {
    'pin': '(?:([^/]*[.-])?pin)',
    'geo': '(?:([^/]*[.-])?geo)',
    'user': '(?:([^/]*[.-])?user)',
} %}
{% set cases = [
    ['12a740a19697.pin', 'pin'],
    ['12a740a19697.geo', 'geo'],
    ['12a740a19697.user', 'user'],
    ['streaming-12a740a19697-pin', 'pin'],
    ['streaming-12a740a19697-user', 'user'],
    ['pin', 'pin'],
    ['a.b-c.geo', 'geo'],
    ['12a740a19697.pin2', none],
    ['12a740a19697.pins', none],
    ['spin', none],
    ['u.pin\u2028', none],
    ['12a740a19697_pin', none],
    ['12a740a19697.PIN', none],
    ['.pin.bak', none],
    ['a/b.pin', none],
    ['', none],
    [none, none],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'string'}, cases) }}
),

readings as (
    select
        written,
        expected,
        {{ record_type_of('written', patterns) }} as actual
    from cases
)

select * from readings
where actual is distinct from expected
