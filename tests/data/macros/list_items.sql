{% set cases = [
    ['art', 'art'],
    ['art,travel', 'art;travel'],
    ['travel, art\u00a0,\tArt', 'Art;art;travel'],
    ['art,art, art ', 'art'],
    ['art,,travel,', 'art;travel'],
    [',art', 'art'],
    [' art,travel', 'art;travel'],
    ['art,travel\n', 'art;travel'],
    ['home decor,diy', 'diy;home decor'],
    ['a,b,c,d,e,f,g,h,i', 'a;b;c;d;e;f;g;h;i'],
    ['👍,日本', '日本;👍'],
    ['', none],
    [' ', none],
    [', ,', none],
    [none, none],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'string'}, cases) }}
),

expected_items as (
    select
        written,
        {{ explode_items("split(expected, ';')") }} as item
    from cases
),

actual_items as (
    select
        written,
        {{ explode_items(list_items('written')) }} as item
    from cases
),

missing_items as (
    select
        written,
        item
    from expected_items
    except
    select
        written,
        item
    from actual_items
),

surplus_items as (
    select
        written,
        item
    from actual_items
    except all
    select
        written,
        item
    from expected_items
)

select
    'missing' as difference,
    written,
    item
from missing_items
union all
select
    'surplus' as difference,
    written,
    item
from surplus_items
