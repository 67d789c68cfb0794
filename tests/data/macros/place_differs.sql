{# Each column of a place counts, also where the part was not there before. #}
{% set parts = ['pin', 'geolocation', 'user'] %}

with

stored as (
    select
        {%- for part in parts %}
        't' as {{ part }}_topic,
        0 as {{ part }}_partition,
        {{ 'cast(null as bigint)' if part == 'user' else 0 }}
            as {{ part }}_file_start_offset,
        0 as {{ part }}_line_number{{ "," if not loop.last }}
        {%- endfor %}
),

moved as (
    select
        'nothing' as what_moved,
        stored.*
    from stored
    {%- for part in parts %}
    {%- for column in place_columns() %}
    union all
    select
        '{{ part }}_{{ column }}' as what_moved
        {%- for other_part in parts %}
        {%- for other_column in place_columns() %},
        {%- if part == other_part and column == other_column %}
        {{ "'u'" if column == 'topic' else 1 }} as {{ part }}_{{ column }}
        {%- else %}
        {{ other_part }}_{{ other_column }}
        {%- endif %}
        {%- endfor %}
        {%- endfor %}
    from stored
    {%- endfor %}
    {%- endfor %}
)

select moved.what_moved
from moved
cross join stored
where
    (moved.what_moved <> 'nothing')
    is distinct from ({{ place_differs('moved', 'stored') }})
