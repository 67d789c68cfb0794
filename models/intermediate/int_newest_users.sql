with

fresh_users as (
    select
        post_id,
        first_name,
        last_name,
        joined_at,
        age,
        topic,
        partition,
        file_start_offset,
        line_number,
        loaded_at
    from {{ ref('stg_pinterest__users') }}
    {{ loaded_since_last_run() }}
),

candidates as (
    select * from fresh_users
    {%- if is_incremental() %}
    union all
    select
        stored.post_id,
        stored.first_name,
        stored.last_name,
        stored.joined_at,
        stored.age,
        stored.topic,
        stored.partition,
        stored.file_start_offset,
        stored.line_number,
        stored.loaded_at
    from {{ this }} as stored
    where stored.post_id in (select fresh_users.post_id from fresh_users)
    {%- endif %}
),

newest_users as (
    select * from candidates
    qualify
        row_number() over (partition by post_id order by {{ newest_first() }}) = 1
)

select * from newest_users
