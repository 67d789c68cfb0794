{% set cases = [
    ['6k', true, true, '6'],
    ['x6k', true, true, '6'],
    ['12 and 34k', true, true, '34'],
    ['6ks', true, false, '6'],
    ['6k\n', true, false, '6'],
    ['6k\r', true, false, '6'],
    ['6k\u0085', true, false, '6'],
    ['6k\u2028', true, false, '6'],
    ['6k\u2029', true, false, '6'],
    ['k', false, false, ''],
    ['6K', false, false, ''],
    ['', false, false, ''],
    [none, none, none, none],
] %}

with

cases as (
    {{ value_table(
        {
            'written': 'string',
            'is_match': 'boolean',
            'is_match_at_end': 'boolean',
            'digits': 'string',
        },
        cases
    ) }}
),

readings as (
    select
        *,
        {{ matches('written', '([0-9]+)k') }} as actual_is_match,
        {{ matches('written', '([0-9]+)k$') }} as actual_is_match_at_end,
        {{ first_group('written', '([0-9]+)k') }} as actual_digits
    from cases
)

select * from readings
where
    actual_is_match is distinct from is_match
    or actual_is_match_at_end is distinct from is_match_at_end
    or actual_digits is distinct from digits
