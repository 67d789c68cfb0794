-- Each column of a place counts, also where the part was not there before.
{% set columns = ['what_moved'] + place_columns() %}
{% set stored = ['nothing', '1', '1', '1', '1'] %}
{% set parts = [stored, ['unknown before', none, none, none, none]] %}
{% for column in place_columns() %}
{% do parts.append([column] + stored[1:loop.index] + ['2'] + stored[loop.index + 1:]) %}
{% endfor %}
{% set types = {} %}
{% for column in columns %}
{% do types.update({column: 'string'}) %}
{% endfor %}

with

parts as (
    {{ value_table(types, parts) }}
),

posts as (
    select
        '1' as pin_topic,
        '1' as pin_partition,
        '1' as pin_file_start_offset,
        '1' as pin_line_number
)

select parts.what_moved
from parts
cross join posts
where
    (parts.what_moved <> 'nothing')
    is distinct from ({{ has_moved('parts', 'posts', 'pin') }})
