{% set cases = [
    ['{"a":1}', true, true],
    ['{"a":null}', true, true],
    ['{"b":1,"a":{}}', true, true],
    ['{"b":{"a":1}}', true, false],
    ['{"A":1}', true, false],
    ['{"b":"a"}', true, false],
    ['{}', true, false],
    ['[1]', true, none],
    ['[]', true, none],
    ['"a"', true, none],
    ['42', true, none],
    ['true', true, none],
    ['null', true, none],
    ['hello', false, none],
    ['{', false, none],
    ['{"a":1', false, none],
    ['', false, none],
] %}

with

cases as (
    {{ value_table(
        {'written': 'string', 'is_json': 'boolean', 'names_a': 'boolean'}, cases
    ) }}
),

json_cases as (
    select
        *,
        {{ is_json('written') }} as actual_is_json
    from cases
),

object_cases as (
    select
        *,
        {{ names_a_field('written', ['a', 'z']) }} as actual_names_a
    from cases
    where names_a is not null
)

select written from json_cases
where actual_is_json is distinct from is_json
union all
select written from object_cases
where actual_names_a is distinct from names_a
