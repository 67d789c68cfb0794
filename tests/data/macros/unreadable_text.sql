{% set fields = record_fields('pin') + record_fields('geo') + record_fields('user') -%}
{% set cases = [
    ['age', '34', false],
    ['age', 'abc', true],
    ['age', '200', false],
    ['follower_count', '6k', false],
    ['follower_count', 'lots', true],
    ['downloaded', '1', false],
    ['downloaded', '2', true],
    ['timestamp', '2018-03-13T02:15:22', false],
    ['timestamp', '2018', true],
    ['date_joined', '2018-03-13 02:15:22', false],
    ['date_joined', 'epoch', true],
    ['latitude', '91', false],
    ['latitude', 'north', true],
    ['longitude', '1_0', true],
    ['title', 'abc', false],
    ['country', '', false],
] %}

with

cases as (
    {{ value_table(
        {'field': 'string', 'written': 'string', 'expected': 'boolean'}, cases
    ) }}
),

readings as (
    select
        *,
        case field
            {%- for field in fields %}
            when '{{ field }}' then {{ unreadable_text(field, 'written') or 'false' }}
            {%- endfor %}
        end as actual
    from cases
)

select * from readings
where actual is distinct from expected
