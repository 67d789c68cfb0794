{# Where the landed files are and which of them a model has not loaded yet. #}

{# The landing's root without a trailing slash. #}
{% macro landing_root() -%}
    {%- set root = env_var('LANDING', 'data/landing').rstrip('/') -%}
    {%- if modules.re.search('[*?\\[\\]{}\'`\\\\]', root) -%}
        {{ exceptions.raise_compiler_error(
            "LANDING is " ~ root ~ ": a landing's path cannot hold any of"
            ~ " * ? [ ] { } ' ` \\, choose another folder"
        ) }}
    {%- endif -%}
    {{- return(root) -}}
{%- endmacro %}

{# Matches the whole name of every topic of a record type. #}
{% macro topics_of(record_type) -%}
    {{- return('(?:' ~ var(record_type ~ '_topics') ~ ')') -}}
{%- endmacro %}

{# Matches the path, below the landing, of every file of a record type. #}
{% macro landed_file_pattern(record_type) -%}
    {%- if record_type == 'dead_letter' -%}
        {{- return(
            '^_dead_letter/[^/]+/partition=[0-9]+/[^/]+[+][0-9]+[+][0-9]+[.]json$'
        ) -}}
    {%- endif -%}
    {{- return(
        '^topics/' ~ topics_of(record_type)
        ~ '/partition=[0-9]+/[^/]+[+][0-9]+[+][0-9]+[.]json([.]gz)?$'
    ) -}}
{%- endmacro %}

{% macro landed_folder(record_type) -%}
    {{- return('_dead_letter' if record_type == 'dead_letter' else 'topics') -}}
{%- endmacro %}

{#
    Before anything that reads landed files: one sentence where there is no landing, or
    it cannot be read (DuckDB; on Spark each base model says so for itself).
#}
{% macro check_landing() -%}
    {{- return(adapter.dispatch('check_landing')()) -}}
{%- endmacro %}

{% macro default__check_landing() -%}
    {%- set readers = [
        'model.pinterest.base_', 'source.pinterest.landing.', '.a_file_that_changed_'
    ] -%}
    {%- if
        execute
        and flags.WHICH != 'generate'
        and modules.re.search(readers | join('|'), selected_resources | join(' '))
    -%}
        {%- set asked = "select landing_problem('" ~ duckdb_landing_root() ~ "')" -%}
        {%- set problem = run_query(asked).rows[0][0] -%}
        {%- if problem -%}{{- exceptions.raise_compiler_error(problem) -}}{%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro spark__check_landing() -%}{%- endmacro %}

{#
    All files of a record type: `file_path` (below the landing), `full_path`,
    `file_size` (bytes), `landed_at` (the file's modification time, UTC).
#}
{% macro landed_files(record_type) -%}
    {{- return(adapter.dispatch('landed_files')(record_type)) -}}
{%- endmacro %}

{% macro default__landed_files(record_type) -%}
    select
        filename as full_path,
        {{ below_root('filename') }} as file_path,
        cast(size as bigint) as file_size,
        cast(last_modified as timestamp) as landed_at
    from read_blob({{ landed_paths(record_type) }})
{%- endmacro %}

{# An array of the full paths of all files of a record type (DuckDB). #}
{% macro landed_paths(record_type) -%}
    landed_paths(
        '{{ duckdb_landing_root() }}',
        '{{ landed_folder(record_type) }}',
        '{{ landed_file_pattern(record_type) }}'
    )
{%- endmacro %}

{# The landing's root, where it is one that DuckDB reads. #}
{% macro duckdb_landing_root() -%}
    {%- set root = landing_root() -%}
    {%- if '://' in root and not root.startswith('s3://') -%}
        {{ exceptions.raise_compiler_error(
            "LANDING is " ~ root ~ ": on DuckDB it is a folder or s3://bucket/prefix"
        ) }}
    {%- endif -%}
    {{- return(root) -}}
{%- endmacro %}

{# A full path without the landing's root (DuckDB). #}
{% macro below_root(full_path) -%}
    substr({{ full_path }}, {{ landing_root() | length + 2 }})
{%- endmacro %}

{% macro spark__landed_files(record_type) -%}
    select
        _metadata.file_path as full_path,
        substring_index(path, '/', -4) as file_path,
        _metadata.file_size as file_size,
        date_trunc('second', _metadata.file_modification_time) as landed_at
    from {{ spark_landing(record_type, 'binaryFile') }}
    where
        {{ matches("substring_index(path, '/', -4)", landed_file_pattern(record_type)) }}
{%- endmacro %}

{# The folders of a record type's files, read in a format; an error without any. #}
{% macro spark_landing(record_type, format, options={}) -%}
    {{- return(files_at(
        landing_root() ~ '/' ~ landed_folder(record_type) ~ '/*/partition=*',
        format,
        dict(options, recursiveFileLookup='true', pathGlobFilter="'*.json*'")
    )) -}}
{%- endmacro %}

{# The files at a path (with wildcards), read in a format (Spark and Databricks). #}
{% macro files_at(path, format, options) -%}
    {{- return(adapter.dispatch('files_at')(path, format, options)) -}}
{%- endmacro %}

{# Spark's; DuckDB does not ask, but dbt wants a default to be there. #}
{% macro default__files_at(path, format, options) -%}
    {{ format }}.`{{ path }}` with (
    {%- for name, value in options.items() -%}
        {{ name }} = {{ value }} {{- ", " if not loop.last }}
    {%- endfor -%}
    )
{%- endmacro %}

{# Unity Catalog judges `read_files` by volumes and external locations. #}
{% macro databricks__files_at(path, format, options) -%}
    read_files('{{ path }}', format => '{{ format }}'
    {%- for name, value in options.items() -%}
        , {{ name }} => {{ value }}
    {%- endfor -%}
    )
{%- endmacro %}

{#
    The full paths of the files that the model has not loaded. Spark reads no more than
    these when they are literals of the query, written as Spark itself writes them; a
    model that holds nothing yet needs one to know that there is a landing.
#}
{% macro spark_new_files(record_type) -%}
    {%- if not execute -%}{{- return([]) -}}{%- endif -%}
    {%- set new_files -%}
        begin
            declare exit handler for path_not_found
                {{ spark_no_files(record_type) }}
            select full_path
            from ({{ landed_files(record_type) }})
            {%- if is_incremental() %}
            where file_path not in (select distinct file_path from {{ this }})
            order by full_path;
            {%- else %}
            limit 1;
            {%- endif %}
        end
    {%- endset -%}
    {%- set found = run_query(new_files).columns[0].values() | list -%}
    {%- if found == ['no landing'] -%}
        {{ exceptions.raise_compiler_error(
            "There is no landing at " ~ landing_root() ~ ", it has no topics: check"
            ~ " LANDING, or land records there first"
        ) }}
    {%- endif -%}
    {{- return(found) -}}
{%- endmacro %}

{#
    What Spark does where `spark_landing` finds no folder: no file, if the landing is
    there and empty; the word `no landing`, if it is not there, as one mistyped.
#}
{% macro spark_no_files(record_type) -%}
    {%- if landed_folder(record_type) != 'topics' -%}
        select cast(null as string) as full_path where false;
    {%- else -%}
        begin
            declare exit handler for path_not_found
                select 'no landing' as full_path;
            select file_path as full_path from ({{ topic_files() }}) where false;
        end;
    {%- endif -%}
{%- endmacro %}

{#
    A pre-hook: notes the files that the model has not loaded, in path order, where
    `landed_lines` finds them. A subquery in `read_blob` is refused and a filter on
    the file name does not prune; a session variable does both (DuckDB).
#}
{% macro note_new_files(record_type) -%}
    {{- return(adapter.dispatch('note_new_files')(record_type)) -}}
{%- endmacro %}

{% macro default__note_new_files(record_type) -%}
    set variable new_{{ record_type }}_files = coalesce((
        select list(full_path order by full_path)
        from (select unnest({{ landed_paths(record_type) }}) as full_path) as landed
        {%- if is_incremental() %}
        where {{ below_root('full_path') }} not in (
            select distinct stored.file_path from {{ this }} as stored
        )
        {%- endif %}
    ), []::varchar[])
{%- endmacro %}

{% macro spark__note_new_files(record_type) -%}
    {#- `landed_lines` asks for them when the model is compiled. -#}
{%- endmacro %}

{#
    The lines of the files that the model has not loaded: `file_path`, `topic`,
    `partition`, `file_start_offset`, `line_number` (physical, from 0), `line`,
    `is_utf8` (false: `line` shows what could be decoded), `file_size`, `landed_at`.
    Blank lines are left out.
#}
{% macro landed_lines(record_type) -%}
    {{- return(adapter.dispatch('landed_lines')(record_type)) -}}
{%- endmacro %}

{% macro default__landed_lines(record_type) -%}
    {%- set per_file = [
        'topic', 'partition', 'file_path', 'file_start_offset', 'file_size', 'landed_at'
    ] | join(', ') -%}
    {#-
        What holds for a file is worked out once a file, below the unnest. Only a file
        that is not UTF-8 as a whole goes to the functions of `ingestion.duckdb_plugin`.
    -#}
    select
        {{ per_file }},
        cast(line_number as bigint) as line_number,
        line,
        not coalesce(array_contains(broken_lines, line_number), false) as is_utf8
    from (
        select
            {{ per_file }},
            broken_lines,
            unnest(lines) as line,
            generate_subscripts(lines, 1) - 1 as line_number
        from (
            select
                {{ per_file }},
                string_split(coalesce(file_text, decode_lossy(content)), chr(10)) as lines,
                case when file_text is null then broken_lines(content) end as broken_lines
            from (
                select
                    *,
                    try(decode(content)) as file_text,
                    split_part(file_path, '/', 2) as topic,
                    cast(
                        substr(split_part(file_path, '/', 3), 11) as int
                    ) as partition,
                    cast(
                        regexp_extract(file_path, '[+]([0-9]+)[.]json', 1) as bigint
                    ) as file_start_offset
                from (
                    select
                        {{ below_root('filename') }} as file_path,
                        cast(size as bigint) as file_size,
                        cast(last_modified as timestamp) as landed_at,
                        case
                            when filename like '%.gz'
                                then gunzip(content, filename)
                            else content
                        end as content
                    from read_blob(coalesce(
                        getvariable('new_{{ record_type }}_files'), []::varchar[]
                    ))
                ) as files
            ) as texts
        ) as file_lines
    ) as numbered_lines
    where {{ starts_with('line', '{') }} or {{ trim_text('line') }} <> ''
{%- endmacro %}

{% macro spark__landed_lines(record_type) -%}
    {%- set new_files = spark_new_files(record_type) -%}
    {%- set per_file = [
        'topic', 'partition', 'file_path', 'file_start_offset', 'file_size', 'landed_at'
    ] | join(', ') -%}
    {#-
        `text` decompresses, `binaryFile` does not. A file that is not UTF-8 as a whole
        is split as Latin-1, one character a byte, and its lines turned back to bytes.
    -#}
    {%- set bytes = "cast(encode(split_line, 'ISO-8859-1') as string)" -%}
    select
        {{ per_file }},
        cast(line_number as bigint) as line_number,
        line,
        is_utf8
    from (
        select
            {{ per_file }},
            line_number,
            case
                when is_utf8_file then split_line else make_valid_utf8({{ bytes }})
            end as line,
            is_utf8_file or is_valid_utf8({{ bytes }}) as is_utf8
        from (
            select
                {{ per_file }},
                is_valid_utf8(content) as is_utf8_file,
                posexplode(split(
                    case
                        when is_valid_utf8(content) then content
                        else decode(cast(content as binary), 'ISO-8859-1')
                    end,
                    '\n'
                )) as (line_number, split_line)
            from (
                select
                    file_path,
                    split_part(file_path, '/', 2) as topic,
                    cast(
                        substr(split_part(file_path, '/', 3), 11) as int
                    ) as partition,
                    cast(
                        regexp_extract(file_path, '[+]([0-9]+)[.]json', 1) as bigint
                    ) as file_start_offset,
                    file_size,
                    landed_at,
                    content
                from (
                    {%- if new_files %}
                    select
                        substring_index(
                            url_decode(replace(_metadata.file_path, '+', '%2B')), '/', -4
                        ) as file_path,
                        _metadata.file_size as file_size,
                        date_trunc('second', _metadata.file_modification_time) as landed_at,
                        value as content
                    from {{ spark_landing(record_type, 'text', {'wholetext': 'true'}) }}
                    {%- if is_incremental() %}
                    where
                        _metadata.file_path in (
                            '{{ new_files | join("',\n                            '") }}'
                        )
                    {%- endif %}
                    {%- else %}
                    select
                        cast(null as string) as file_path,
                        cast(null as bigint) as file_size,
                        cast(null as timestamp) as landed_at,
                        cast(null as string) as content
                    where false
                    {%- endif %}
                ) as files
                where {{ matches('file_path', landed_file_pattern(record_type)) }}
            ) as texts
        ) as split_files
    ) as file_lines
    where {{ trim_text('line') }} <> ''
{%- endmacro %}

{# When the newest file of a record type was landed, for `dbt source freshness`. #}
{% macro newest_landed_at(record_type) -%}
    select max(landed_at) from ({{ landed_files(record_type) }}) as files
{%- endmacro %}
