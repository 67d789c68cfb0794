{% set cases = [
    ['art', none],
    ['art,travel', none],
    ['travel, art\u00a0,\tArt', 'travel,art,Art'],
    ['art,art, art ', 'art'],
    ['b,a,b', 'b,a'],
    ['art,,travel,', 'art,travel'],
    [',art', 'art'],
    [' art,travel', 'art,travel'],
    ['art,travel\n', 'art,travel'],
    ['home decor,diy', none],
    ['a,b,c,d,e,f,g,h,i', none],
    ['a,b,c,d,e,f,g,h,i,a,,j', 'a,b,c,d,e,f,g,h,i,j'],
    ['👍,日本', none],
    ['👍,日本,👍', '👍,日本'],
    ['', none],
    [' ', ''],
    [', ,', ''],
    [none, ''],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'string'}, cases) }}
),

actual as (
    select
        written,
        expected,
        {{ rewritten_items('written') }} as items
    from cases
)

select * from actual
where items is distinct from expected
