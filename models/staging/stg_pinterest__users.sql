with

base_users as (
    select * from {{ ref('base_pinterest__users') }}
),

missing_values as (
    {{ missing_values_of('user') }}
),

known_values as (
    select
        base_users.post_id,
        {{ known_text('base_users.first_name', 'missing_values.first_name') }}
            as first_name,
        {{ known_text('base_users.last_name', 'missing_values.last_name') }}
            as last_name,
        {{ known_text('base_users.age', 'missing_values.age') }} as age,
        {{ known_text('base_users.date_joined', 'missing_values.date_joined') }}
            as joined_at,
        base_users.topic,
        base_users.partition,
        base_users.file_path,
        base_users.file_start_offset,
        base_users.line_number,
        base_users.landed_at,
        base_users.loaded_at
    from base_users
    cross join missing_values
    where base_users.reject_reason is null
),

users as (
    select
        post_id,
        first_name,
        last_name,
        {{ read_integer('age') }} as age,
        {{ read_timestamp('joined_at') }} as joined_at,
        topic,
        partition,
        file_path,
        file_start_offset,
        line_number,
        landed_at,
        loaded_at
    from known_values
)

select * from users
