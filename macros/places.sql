{# Where a record lies in the landing, and which of two copies is newer. #}

{% macro place_columns() -%}
    {{- return(['topic', 'partition', 'file_start_offset', 'line_number']) -}}
{%- endmacro %}

{#
    The order of copies, newest first: decided by what is in the landing alone. No two
    copies lie in one place: a test of the base models refuses two files of one start.
#}
{% macro newest_first() -%}
    topic desc, partition desc, file_start_offset desc, line_number desc
{%- endmacro %}

{# True where a part lies elsewhere than the post says that was stored with it. #}
{% macro has_moved(part, stored_post, prefix) -%}
    {%- for column in place_columns() %}
    {{ "or " if not loop.first -}}
    {{ part }}.{{ column }} is distinct from {{ stored_post }}.{{ prefix }}_{{ column }}
    {%- endfor %}
{%- endmacro %}

{# The place of a part as columns named for it: `pin_topic`, `pin_partition`, … #}
{% macro places_of(relation, part) -%}
    {%- for column in place_columns() %}
    {{ relation }}.{{ column }} as {{ part }}_{{ column }}{{ "," if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{# True where two copies are one, that is, lie in the same place. #}
{% macro is_same_place(left, right) -%}
    {%- for column in place_columns() %}
    {{ "and " if not loop.first -}}
    {{ left }}.{{ column }} is not distinct from {{ right }}.{{ column }}
    {%- endfor %}
{%- endmacro %}
