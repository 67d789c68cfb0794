{#
    A literal table, for tests that prove a macro: `columns` maps each name to its
    type, `rows` are lists of values, `none` is null.
#}
{% macro value_table(columns, rows) -%}
    {%- for row in rows %}
    select
        {%- for name, type in columns.items() %}
        cast({{ value_literal(row[loop.index0]) }} as {{ type }}) as {{ name }}
        {{- "," if not loop.last }}
        {%- endfor %}
    {{ "union all" if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{% macro value_literal(value) -%}
    {%- if value is none -%} null
    {%- elif value is string -%}
        {#- What a backslash in a literal means differs between engines. -#}
        {{ dbt.string_literal(dbt.escape_single_quotes(value))
            | replace('\\', "' || chr(92) || '") }}
    {%- else -%} {{ value }}
    {%- endif -%}
{%- endmacro %}
