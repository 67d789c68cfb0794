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
    from {{ files_at(
        landing_root() ~ '/topics', 'binaryFile', {'recursiveFileLookup': 'true'}
    ) }}
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

{#
    What is wrong with the landed files, a list of [record type, path, full path,
    problem]; `bases` are the base relations by record type. A file that was landed less
    than ten minutes before this run is not missed yet: it may have come after the load.
    Empty before anything was built, and for documentation, which needs no landing.
#}
{% macro landing_problems(bases) -%}
    {%- set is_asked = execute and flags.WHICH != 'generate' -%}
    {%- if not is_asked or load_relation(bases['user']) is none -%}
        {{- return([]) -}}
    {%- endif -%}
    {%- set missed_before = run_started_at - modules.datetime.timedelta(minutes=10) -%}
    {%- set problems -%}
        {%- for record_type, base in bases.items() %}
        select
            '{{ record_type }}' as record_type,
            coalesce(loaded.file_path, landed.file_path) as file_path,
            landed.full_path,
            case
                when landed.file_path is null then '{{ gone() }}'
                when loaded.file_path is null then 'was not loaded: do a full refresh'
                else 'changed after it was loaded: do a full refresh'
            end as problem
        from (
            select distinct
                file_path,
                file_size,
                landed_at
            from {{ base }}
        ) as loaded
        full outer join ({{ landed_files(record_type) }}) as landed
            on loaded.file_path = landed.file_path
        where
            (
                loaded.file_path is null
                and landed.landed_at
                < timestamp '{{ missed_before.strftime("%Y-%m-%d %H:%M:%S") }}'
            )
            or landed.file_path is null
            or loaded.file_size <> landed.file_size
            or loaded.landed_at <> landed.landed_at
        {{ "union all" if not loop.last }}
        {%- endfor %}
    {%- endset -%}
    {%- set rows = [] -%}
    {%- for row in run_query(landing_query(problems, bases)).rows -%}
        {%- do rows.append(row.values() | list) -%}
    {%- endfor -%}
    {{- return(rows) -}}
{%- endmacro %}

{% macro gone() -%}
    is gone: check LANDING, then do a full refresh
{%- endmacro %}

{# The query for problems, that also works where there is no file at all. #}
{% macro landing_query(problems, bases) -%}
    {{- return(adapter.dispatch('landing_query')(problems, bases)) -}}
{%- endmacro %}

{% macro default__landing_query(problems, bases) -%}
    {{ problems }}
{%- endmacro %}

{% macro spark__landing_query(problems, bases) -%}
    begin
        declare exit handler for path_not_found
            {%- for record_type, base in bases.items() %}
            select distinct
                '{{ record_type }}' as record_type,
                file_path,
                cast(null as string) as full_path,
                '{{ gone() }}' as problem
            from {{ base }}
            {{ "union all" if not loop.last else ";" }}
            {%- endfor %}
        {{ problems }};
    end
{%- endmacro %}

{#
    Of the problems those that stay when the contents of the files that were not loaded
    have been looked at: one with blank lines alone has nothing to load.
#}
{% macro remaining_problems(problems) -%}
    {%- set columns = {
        'record_type': 'string',
        'file_path': 'string',
        'full_path': 'string',
        'problem': 'string',
    } -%}
    select
        file_path,
        problem
    from ({{ value_table(columns, problems) }}) as problems
    where
        problem not like 'was not loaded%'
        {%- for record_type in ['pin', 'geo', 'user'] %}
        {%- set unloaded = problems
            | selectattr(0, 'equalto', record_type)
            | selectattr(3, 'equalto', 'was not loaded: do a full refresh')
            | map(attribute=2)
            | list %}
        {%- if unloaded %}
        or full_path in (
            select files.full_path
            from ({{ files_with_text(record_type, unloaded) }}) as files
        )
        {%- endif %}
        {%- endfor %}
{%- endmacro %}
