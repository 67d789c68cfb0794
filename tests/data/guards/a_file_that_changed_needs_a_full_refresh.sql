{{ config(group='pipeline') }}
{#
    Landed files are created once and never changed, and each is loaded once. Fails for
    a loaded file that changed or is gone, and for one that was landed ten minutes
    before this run, or longer ago, holds more than blank lines and was not loaded.
#}
{% set started_before =
    (run_started_at - modules.datetime.timedelta(minutes=10)).strftime('%Y-%m-%d %H:%M:%S') %}
{% set pins = ref('base_pinterest__pins') %}
{% set geolocations = ref('base_pinterest__geolocations') %}
{% set users = ref('base_pinterest__users') %}
{% set bases = {'pin': pins, 'geo': geolocations, 'user': users} %}

{% set compared_files %}
    {%- for record_type, base in bases.items() %}
    select
        '{{ record_type }}' as record_type,
        coalesce(loaded.file_path, landed.file_path) as file_path,
        landed.full_path,
        case
            when landed.file_path is null then 'is gone: do a full refresh'
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
            and landed.landed_at < timestamp '{{ started_before }}'
        )
        or landed.file_path is null
        or loaded.file_size <> landed.file_size
        or loaded.landed_at <> landed.landed_at
    {{ "union all" if not loop.last }}
    {%- endfor %}
{% endset %}

{% set problems = [] %}
{% if execute and load_relation(users) is not none %}
    {% for row in run_query(compared_files).rows %}
        {% do problems.append(row.values() | list) %}
    {% endfor %}
{% endif %}

{% if problems %}
with

problems as (
    {{ value_table(
        {
            'record_type': 'string',
            'file_path': 'string',
            'full_path': 'string',
            'problem': 'string',
        },
        problems
    ) }}
),

files_with_text as (
    select cast(null as string) as full_path
    {%- for record_type in bases %}
    {%- set unloaded = problems
        | selectattr(0, 'equalto', record_type)
        | selectattr(3, 'equalto', 'was not loaded: do a full refresh')
        | map(attribute=2)
        | list %}
    {%- if unloaded %}
    union all
    {{ files_with_text(record_type, unloaded) }}
    {%- endif %}
    {%- endfor %}
)

select
    file_path,
    problem
from problems
where
    problem not like 'was not loaded%'
    or full_path in (
        select files_with_text.full_path from files_with_text
        where files_with_text.full_path is not null
    )
{% else %}
select cast(null as string) as file_path
where false
{% endif %}
