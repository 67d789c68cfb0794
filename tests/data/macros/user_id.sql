{# Two people each; the same user or not. A null part makes no user at all. #}
{% set joined = '2016-03-01 10:00:00' %}
{% set cases = [
    ['Ada', 'Ashwood', joined, 'Ada', 'Ashwood', joined, true],
    ['a', 'bc', joined, 'ab', 'c', joined, false],
    ['Ada', 'Ashwood', joined, 'ada', 'Ashwood', joined, false],
    ['Ada', 'Ashwood', joined, 'Ashwood', 'Ada', joined, false],
    ['Ada', 'Ashwood', joined, 'Ada', 'Ashwood', '2016-03-01 10:00:00.000001', false],
    ['1', '1:1', joined, '1', '1:2', joined, false],
    ['é', 'b', joined, 'e\u0301', 'b', joined, false],
    ['Ada', 'Ashwood', joined, none, 'Ashwood', joined, none],
    ['Ada', 'Ashwood', joined, 'Ada', none, joined, none],
    ['Ada', 'Ashwood', joined, 'Ada', 'Ashwood', none, none],
] %}

with

cases as (
    {{ value_table(
        {
            'first_name': 'string',
            'last_name': 'string',
            'joined_at': 'timestamp',
            'other_first_name': 'string',
            'other_last_name': 'string',
            'other_joined_at': 'timestamp',
            'is_same': 'boolean',
        },
        cases
    ) }}
),

user_ids as (
    select
        *,
        {{ user_id('first_name', 'last_name', 'joined_at') }} as user_id,
        {{ user_id('other_first_name', 'other_last_name', 'other_joined_at') }}
            as other_user_id
    from cases
)

select * from user_ids
where user_id is null or (user_id = other_user_id) is distinct from is_same
