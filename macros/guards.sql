{# What the tests in `tests/data/guards` need. #}

{# True where a copy of a record is newer than the other one, see `newest_first`. #}
{% macro is_newer(left, right) -%}
    {%- set columns = place_columns() -%}
    {%- for column in columns %}
    {{ "or " if not loop.first -}}
    (
        {%- for equal_column in columns[:loop.index0] %}
        {{ left }}.{{ equal_column }} = {{ right }}.{{ equal_column }} and
        {%- endfor %}
        {{ left }}.{{ column }} > {{ right }}.{{ column }}
    )
    {%- endfor %}
{%- endmacro %}

{# True where two copies are one, that is, lie in the same place. #}
{% macro is_same_place(left, right) -%}
    {%- for column in place_columns() %}
    {{ "and " if not loop.first -}}
    {{ left }}.{{ column }} is not distinct from {{ right }}.{{ column }}
    {%- endfor %}
{%- endmacro %}

{# All files below `topics/`, `file_path`; hidden ones are those of tools. #}
{% macro topic_files() -%}
    {{- return(adapter.dispatch('topic_files')()) -}}
{%- endmacro %}

{% macro default__topic_files() -%}
    {%- set root = landing_root() -%}
    select substr(file, {{ root | length + 2 }}) as file_path
    from glob('{{ root }}/topics/**')
    where not {{ matches('file', '/[._][^/]*$') }}
{%- endmacro %}

{% macro spark__topic_files() -%}
    select
        substring(
            url_decode(replace(_metadata.file_path, '+', '%2B')),
            instr(url_decode(replace(_metadata.file_path, '+', '%2B')), '/topics/') + 1
        ) as file_path
    from binaryFile.`{{ landing_root() }}/topics` with (recursiveFileLookup = true)
{%- endmacro %}

{# Those of a record type's files, given by their full paths, that hold any text. #}
{% macro files_with_text(record_type, full_paths) -%}
    {{- return(adapter.dispatch('files_with_text')(record_type, full_paths)) -}}
{%- endmacro %}

{% macro default__files_with_text(record_type, full_paths) -%}
    {%- set content -%}
        case when filename like '%.gz' then gunzip(content, filename) else content end
    {%- endset -%}
    select filename as full_path
    from read_blob(['{{ full_paths | join("', '") }}'])
    where coalesce({{ trim_text("try(decode(" ~ content ~ "))") }}, 'bytes') <> ''
{%- endmacro %}

{% macro spark__files_with_text(record_type, full_paths) -%}
    select distinct _metadata.file_path as full_path
    from {{ spark_landing(record_type, 'text') }}
    where
        _metadata.file_path in ('{{ full_paths | join("', '") }}')
        and {{ trim_text('value') }} <> ''
{%- endmacro %}
