{% set cases = [
    ['6k', true, '6'],
    ['x6k', true, '6'],
    ['12 and 34k', true, '34'],
    ['k', false, ''],
    ['6K', false, ''],
    ['', false, ''],
    [none, none, none],
] %}

with

cases as (
    {{ value_table(
        {'written': 'string', 'is_match': 'boolean', 'digits': 'string'}, cases
    ) }}
),

readings as (
    select
        *,
        {{ matches('written', '([0-9]+)k') }} as actual_is_match,
        {{ first_group('written', '([0-9]+)k') }} as actual_digits
    from cases
)

select * from readings
where
    actual_is_match is distinct from is_match
    or actual_digits is distinct from digits
