{# Whatever a value's JSON type, its text arrives; what is nested stays JSON. #}
{% set cases = [
    ['{"ind":7,"age":34}', '7', '34', none],
    ['{"age":"34","ind":"7"}', '7', '34', none],
    ['{"ind":7,"age":34.5,"first_name":true}', '7', '34.5', 'true'],
    ['{"ind":7,"age":null,"first_name":""}', '7', none, ''],
    ['{"ind":7,"first_name":"a\\u00e9\\n\\"b\\" \\ud83d\\udc4d"}',
        '7', none, 'aé\n"b" 👍'],
    ['{"ind":7,"first_name":"null"}', '7', none, 'null'],
    ['{"ind":7,"first_name":["Ada"]}', '7', none, '["Ada"]'],
    ['{"ind":7,"First_name":"Ada","FIRST_NAME":"Ada"}', '7', none, none],
    ['{}', none, none, none],
    ['{"ind":7,', none, none, none],
    ['hello', none, none, none],
    ['', none, none, none],
    [none, none, none, none],
] %}

with

cases as (
    {{ value_table(
        {
            'written': 'string',
            'ind': 'string',
            'age': 'string',
            'first_name': 'string',
        },
        cases
    ) }}
),

parsed_cases as (
    select
        *,
        {{ parse_record('written', 'user') }} as record
    from cases
)

select * from parsed_cases
where
    record.ind is distinct from ind
    or record.age is distinct from age
    or record.first_name is distinct from first_name
