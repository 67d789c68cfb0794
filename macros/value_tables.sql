{#
    A literal table, for tests that prove a macro: `columns` maps each name to its
    type, `rows` are lists of values, `none` is null.
#}
{% macro value_table(columns, rows) -%}
    {{- return(adapter.dispatch('value_table')(columns, rows)) -}}
{%- endmacro %}

{% macro default__value_table(columns, rows) -%}
    {%- for row in rows %}
    select
        {%- for name, type in columns.items() %}
        cast({{ value_literal(row[loop.index0]) }} as {{ type }}) as {{ name }}
        {{- "," if not loop.last }}
        {%- endfor %}
    {{ "union all" if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{% macro spark__value_table(columns, rows) -%}
    {#- Spark plans each `select` of a union by itself. -#}
    select * from values
    {%- for row in rows %}
    (
        {%- for type in columns.values() %}
        cast({{ value_literal(row[loop.index0]) }} as {{ type }}) {{- "," if not loop.last }}
        {%- endfor %}
    ) {{- "," if not loop.last }}
    {%- endfor %} as value_rows ({{ columns | join(', ') }})
{%- endmacro %}

{% macro value_literal(value) -%}
    {%- if value is none -%} null
    {%- elif value is string -%}
        {#- How quotes and backslashes are escaped differs between engines. -#}
        '{{ value
            | replace("'", "' || chr(39) || '")
            | replace("\\", "' || chr(92) || '") }}'
    {%- else -%} {{ value }}
    {%- endif -%}
{%- endmacro %}
