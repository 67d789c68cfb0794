{# Where a record lies in the landing, and which of two copies is newer. #}

{% macro place_columns() -%}
    {{- return(['topic', 'partition', 'file_start_offset', 'line_number']) -}}
{%- endmacro %}

{#
    The order of copies, newest first: decided by what is in the landing alone. No two
    copies lie in one place: a test of the base models refuses two files of one start.
    Only a base model that was refreshed alone brings the same copy again; the later
    load of it stays, so that it is not new a second time.
#}
{% macro newest_first() -%}
    topic desc, partition desc, file_start_offset desc, line_number desc, loaded_at desc
{%- endmacro %}

{# True where two copies are one, that is, lie in the same place. #}
{% macro is_same_place(left, right) -%}
    {%- for column in place_columns() %}
    {{ "and " if not loop.first -}}
    {{ left }}.{{ column }} = {{ right }}.{{ column }}
    {%- endfor %}
{%- endmacro %}
