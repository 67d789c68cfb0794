{# What `ingest dashboard` asks, on whatever target dbt is on. #}

{#
    Tells each of `reads` as one line of JSON: the report's description, its columns
    with the types of its contract, and its rows in order, each value as text or null.
    A read names a `report` and may have `order_by`; `limit`, or `group_by` instead of all
    columns: then each row ends with `row_count`, of the report or of the group.
#}
{% macro tell_reports(reads) -%}
    {% for read in reads %}
        {% set node = report_node(read.report) %}
        {% set relation = load_relation(ref(read.report)) %}
        {% if relation is none %}
            {% do exceptions.raise_compiler_error(
                ref(read.report) ~ " is not there: dbt build --target " ~ target.name
                ~ " makes it."
            ) %}
        {% endif %}
        {% set table = run_query(report_query(read, relation, node)) %}
        {% set told = {
            'report': read.report,
            'description': node.description,
            'columns': [],
            'rows': [],
        } %}
        {% for name in table.column_names %}
            {% set column = node.columns.get(name, {}) %}
            {% do told.columns.append([
                name, column.get('data_type', 'bigint'), column.get('description', '')
            ]) %}
        {% endfor %}
        {% for row in table.rows %}
            {% set texts = [] %}
            {% for value in row.values() %}
                {% do texts.append(none if value is none else value | string) %}
            {% endfor %}
            {% do told.rows.append(texts) %}
        {% endfor %}
        {% do log('report ' ~ tojson(told), info=true) %}
    {% endfor %}
    {% do log('target ' ~ tojson({
        'name': target.name,
        'type': target.type,
        'freshness_warn_hours': var('freshness_warn_hours'),
        'freshness_error_hours': var('freshness_error_hours'),
    }), info=true) %}
{%- endmacro %}

{% macro report_node(name) -%}
    {% for node in graph.nodes.values() if node.name == name %}
        {{ return(node) }}
    {% endfor %}
    {% do exceptions.raise_compiler_error("There is no report " ~ name ~ ".") %}
{%- endmacro %}

{% macro report_query(read, relation, node) -%}
    {% set keys = [] %}
    {% for name in node.columns %}
        {% do keys.append((age_group_place() if name == 'age_group' else name)
            ~ ' nulls last') %}
    {% endfor %}
    {% if read.group_by %}
        {% set columns = read.group_by ~ ', count(*) as row_count' %}
    {% elif read.limit %}
        {% set columns = '*, count(*) over () as row_count' %}
    {% else %}
        {% set columns = node.columns | join(', ') %}
    {% endif %}
    select {{ columns }}
    from {{ relation }}
    {{ 'group by ' ~ read.group_by if read.group_by }}
    order by {{ read.order_by or read.group_by or keys | join(', ') }}
    {{ 'limit ' ~ read.limit if read.limit }}
{%- endmacro %}

{# Age groups come in the seed's order. #}
{% macro age_group_place() -%}
    {% set groups = run_query(
        'select age_group from ' ~ ref('age_groups') ~ ' order by sort_order'
    ) %}
    case age_group
        {%- for (group,) in groups.rows %}
        when '{{ group }}' then {{ loop.index }}
        {%- endfor %}
    end
{%- endmacro %}
