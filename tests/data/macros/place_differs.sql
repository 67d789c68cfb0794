{# Each column of a place counts, also where the part was not there before. #}
{% set columns = {'what_moved': 'string'} %}
{% set stored = ['nothing'] %}
{% for part in ['pin', 'geolocation', 'user'] %}
{% for column in place_columns() %}
{% do columns.update({part ~ '_' ~ column: 'string'}) %}
{% do stored.append(none if part == 'geolocation' else '1') %}
{% endfor %}
{% endfor %}
{% set moved = [stored] %}
{% for name in columns %}
{% if not loop.first %}
{% do moved.append([name] + stored[1:loop.index0] + ['2'] + stored[loop.index:]) %}
{% endif %}
{% endfor %}

with

stored_posts as (
    {{ value_table(columns, [stored]) }}
),

moved_posts as (
    {{ value_table(columns, moved) }}
)

select moved_posts.what_moved
from moved_posts
cross join stored_posts
where
    (moved_posts.what_moved <> 'nothing')
    is distinct from ({{ place_differs('moved_posts', 'stored_posts') }})
