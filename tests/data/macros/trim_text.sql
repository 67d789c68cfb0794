{% set cases = [
    ['a', 'a'],
    [' a  b ', 'a  b'],
    ['\t\r\n\u00a0 a\u00a0b \u00a0\n\r\t', 'a\u00a0b'],
    ['\u00a0', ''],
    [' \t\r\n', ''],
    ['', ''],
    ['.a.', '.a.'],
    ['!a', '!a'],
    ['\u0001 a', '\u0001 a'],
    ['\u2003a', '\u2003a'],
    ['\u200ba', '\u200ba'],
    ['\u0085a\u2028', '\u0085a\u2028'],
    ['\u2029', '\u2029'],
    [' 数据 👍 ', '数据 👍'],
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
        {{ trim_text('written') }} as actual
    from cases
)

select * from readings
where actual is distinct from expected
