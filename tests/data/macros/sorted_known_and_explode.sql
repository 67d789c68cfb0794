{# The list of each person's values as text, and how many rows it makes. #}
{% set cases = [
    ['none', none, none, 0],
    ['one', 7, '[7]', 1],
    ['beside one unknown', 7, '[7]', 1],
    ['beside one unknown', none, '[7]', 1],
    ['by number, not by digits', 10, '[-1, 9, 10, 10]', 4],
    ['by number, not by digits', 9, '[-1, 9, 10, 10]', 4],
    ['by number, not by digits', -1, '[-1, 9, 10, 10]', 4],
    ['by number, not by digits', 10, '[-1, 9, 10, 10]', 4],
    ['long', 9000000000000000000, '[9000000000000000000]', 1],
] %}

with

cases as (
    {{ value_table(
        {'person': 'string', 'known': 'bigint', 'expected': 'string', 'row_count': 'bigint'},
        cases
    ) }}
),

lists as (
    select
        person,
        expected,
        row_count,
        {{ sorted_known('known') }} as known_values
    from cases
    group by person, expected, row_count
),

items as (
    select
        person,
        {{ explode('known_values') }} as item
    from lists
),

counts as (
    select
        person,
        count(*) as item_count
    from items
    group by person
)

select
    lists.person,
    lists.expected,
    lists.known_values,
    lists.row_count,
    counts.item_count
from lists
left join counts
    on lists.person = counts.person
where
    lists.expected is distinct from cast(lists.known_values as {{ dbt.type_string() }})
    or lists.row_count is distinct from coalesce(counts.item_count, 0)
