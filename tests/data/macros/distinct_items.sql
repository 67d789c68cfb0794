{% set cases = [
    ['art', 'art'],
    ['art,travel', 'art,travel'],
    ['travel, art\u00a0,\tArt', 'travel,art,Art'],
    ['art,art, art ', 'art'],
    ['b,a,b', 'b,a'],
    ['art,,travel,', 'art,travel'],
    [',art', 'art'],
    [' art,travel', 'art,travel'],
    ['art,travel\n', 'art,travel'],
    ['home decor,diy', 'home decor,diy'],
    ['a,b,c,d,e,f,g,h,i', 'a,b,c,d,e,f,g,h,i'],
    ['👍,日本', '👍,日本'],
    ['', none],
    [' ', none],
    [', ,', none],
    [none, none],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'string'}, cases) }}
),

actual as (
    select
        written,
        expected,
        {{ distinct_items('written') }} as items
    from cases
)

select * from actual
where items is distinct from expected
