with

users as (
    select * from {{ ref('dim_users') }}
),

joined_users as (
    select
        {{ year_of('joined_at') }} as join_year,
        count(*) as number_users_joined
    from users
    group by {{ year_of('joined_at') }}
)

select * from joined_users
