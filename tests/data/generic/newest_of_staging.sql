{#
    Fails for each event whose stored copy is missing, is not in staging, is not the
    newest there, or differs from it in one of the columns: then rebuild all with a full
    refresh. Compares pairs of copies; the model itself ranks them.
#}
{% test newest_of_staging(model, staging, columns) %}

with

copies as (
    select * from {{ staging }}
),

stored as (
    select * from {{ model }}
),

compared_copies as (
    select
        coalesce(stored.post_id, copies.post_id) as post_id,
        {{ is_newer('copies', 'stored') }} as is_newer,
        {{ is_same_place('copies', 'stored') }}
        {%- for column in columns %}
        and copies.{{ column }} is not distinct from stored.{{ column }}
        {%- endfor %} as is_same
    from copies
    full outer join stored
        on copies.post_id = stored.post_id
)

select
    post_id,
    count(*) filter (where is_newer) as newer_copies,
    count(*) filter (where is_same) as same_copies
from compared_copies
group by post_id
having bool_or(coalesce(is_newer, false)) or not bool_or(coalesce(is_same, false))

{% endtest %}
