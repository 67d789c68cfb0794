{#
    The `loaded_at` of the rows that this run appends: later than all that is stored,
    also after a clock was set back and in a full refresh. It gates work, it never
    ranks copies.
#}
{% macro load_time() -%}
    {%- set now -%}
        cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as timestamp)
    {%- endset -%}
    {%- set stored = load_relation(this) if execute else none -%}
    {%- if stored is none -%}
        {{ now }}
    {%- else -%}
        coalesce(
            greatest(
                {{ now }},
                (select max(loaded_at) + interval 1 microsecond from {{ stored }})
            ),
            {{ now }}
        )
    {%- endif -%}
{%- endmacro %}

{#
    The rows that a model keyed on events may not have seen: all that were loaded
    after the newest one it stores. An old copy in a late file is among them, whatever
    its place; so is everything a run that died in between left behind. `>` is enough
    because a load is one transaction with one `loaded_at`, later than all before.
#}
{% macro loaded_since_last_run(stored='loaded_at', read='loaded_at') -%}
    {%- if is_incremental() -%}
    where
        {{ read }} > (
            select coalesce(max({{ stored }}), timestamp '1970-01-01 00:00:00')
            from {{ this }}
        )
    {%- endif -%}
{%- endmacro %}

{#
    The different values of a column, a row each, where few are expected: the touched
    keys of a run. DuckDB cannot tell how few rows are later than the last run; from a
    list it expects one, and looks these up in the large table instead of the reverse.
#}
{% macro distinct_few(column) -%}
    {{- return(adapter.dispatch('distinct_few')(column)) -}}
{%- endmacro %}

{% macro default__distinct_few(column) -%}
    unnest(list(distinct {{ column }}))
{%- endmacro %}

{% macro spark__distinct_few(column) -%}
    distinct {{ column }}
{%- endmacro %}
