{# Where a record lies in the landing, and which of two copies is newer. #}

{% macro place_columns() -%}
    {{- return(['topic', 'partition', 'file_start_offset', 'line_number']) -}}
{%- endmacro %}

{#
    The order of copies, newest first: decided by what is in the landing alone. The
    path ends ties between two files of one start, which `verify` reports as an
    overlap.
#}
{% macro newest_first() -%}
    topic desc, partition desc, file_start_offset desc, line_number desc
{%- endmacro %}

{# True where a part of a post lies elsewhere than when it was last stored. #}
{% macro place_differs(left, right) -%}
    {%- for part in ['pin', 'geolocation', 'user'] %}
        {%- for column in place_columns() %}
    {{ "or " if not (loop.first and part == 'pin') -}}
    {{ left }}.{{ part }}_{{ column }} is distinct from {{ right }}.{{ part }}_{{ column }}
        {%- endfor %}
    {%- endfor %}
{%- endmacro %}

{# The place of a part as columns named for it: `pin_topic`, `pin_partition`, … #}
{% macro places_of(relation, part) -%}
    {%- for column in place_columns() %}
    {{ relation }}.{{ column }} as {{ part }}_{{ column }}{{ "," if not loop.last }}
    {%- endfor %}
{%- endmacro %}
