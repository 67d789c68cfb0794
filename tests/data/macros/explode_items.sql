{# How often each item comes. #}
{% set cases = [
    ['a', 'a', 1],
    ['a,b', 'a', 1],
    ['a,b', 'b', 1],
    ['b,a,b', 'a', 1],
    ['b,a,b', 'b', 2],
    ['a,,b', 'a', 1],
    ['a,,b', '', 1],
    ['a,,b', 'b', 1],
    [',', '', 2],
    ['', '', 1],
    [' a', ' a', 1],
    ['数据,👍', '数据', 1],
    ['数据,👍', '👍', 1],
    ['a\u2028b', 'a\u2028b', 1],
] %}

with

cases as (
    {{ value_table(
        {'written': 'string', 'item': 'string', 'expected': 'bigint'}, cases
    ) }}
),

texts as (
    select distinct written from cases
    union all
    select cast(null as string) as written
),

items as (
    select
        written,
        {{ explode_items('written') }} as item
    from texts
),

counts as (
    select
        written,
        item,
        count(*) as actual
    from items
    group by written, item
)

select
    cases.written,
    cases.item,
    cases.expected,
    counts.actual
from cases
full outer join counts
    on cases.written = counts.written and cases.item = counts.item
where cases.expected is distinct from counts.actual
