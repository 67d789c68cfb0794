{#
    Columns that name people, hidden from all but one group (Databricks). Off unless the
    variable `personal_readers` names an account group of the workspace; then each table
    has its columns of `personal_columns` tagged and masked after it is written. Views
    show what the tables below them show.
#}
{% macro protect_personal_columns() -%}
    {{- return(adapter.dispatch('protect_personal_columns')()) -}}
{%- endmacro %}

{% macro default__protect_personal_columns() -%}{%- endmacro %}

{# Masks are Unity Catalog's: open-source Spark has none. #}
{% macro databricks__protect_personal_columns() -%}
    {%- set columns = var('personal_columns') | select('in', model.columns) | list -%}
    {%- if execute and var('personal_readers') and config.get('materialized') != 'view' -%}
        {%- for column in columns -%}
            {%- set alter = "alter table " ~ this ~ " alter column " ~ column -%}
            {%- do run_query(alter ~ " set tags ('personal' = 'true')") -%}
            {%- do run_query(alter ~ " set mask " ~ personal_mask()) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{# Where the function lies that masks a text. #}
{% macro personal_mask() -%}
    {{- return(api.Relation.create(
        database=target.database, schema=target.schema, identifier='personal_mask'
    )) -}}
{%- endmacro %}

{# Before a run: the function that masks a text, if it will be needed (Databricks). #}
{% macro create_personal_mask() -%}
    {{- return(adapter.dispatch('create_personal_mask')()) -}}
{%- endmacro %}

{% macro default__create_personal_mask() -%}{%- endmacro %}

{#
    A mask holds for everybody who reads, this pipeline too: it has to see the names, or
    the next run would find no user behind any post. So whoever runs it is let through.
#}
{% macro databricks__create_personal_mask() -%}
    {%- if execute and var('personal_readers') %}
    create or replace function {{ personal_mask() }}(value string)
    returns string
    return case
        when
            is_account_group_member('{{ var("personal_readers") }}')
            or session_user() = '{{ run_query("select session_user()").rows[0][0] }}'
            then value
    end
    {%- endif -%}
{%- endmacro %}
