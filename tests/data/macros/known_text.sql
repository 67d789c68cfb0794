{# Once with a list of missing values, once without one. #}
{% set cases = [
    ['a', 'a', 'a'],
    [' a\u00a0', 'a', 'a'],
    ['Image src error.', none, 'Image src error.'],
    ['\t\u00a0No data \n', none, 'No data'],
    ['Image src error', 'Image src error', 'Image src error'],
    ['image src error.', 'image src error.', 'image src error.'],
    ['Image src error..', 'Image src error..', 'Image src error..'],
    ['null', 'null', 'null'],
    ['', none, none],
    [' \t\r\n\u00a0', none, none],
    [none, none, none],
] %}

with

cases as (
    {{ value_table(
        {'written': 'string', 'expected': 'string', 'without_list': 'string'}, cases
    ) }}
),

missing_values as (
    select
        split('No data;Image src error.', ';') as texts,
        split(cast(null as string), ';') as no_texts
),

readings as (
    select
        cases.*,
        {{ known_text('cases.written', 'missing_values.texts') }} as actual,
        {{ known_text('cases.written', 'missing_values.no_texts') }}
            as actual_with_null_list,
        {{ known_text('cases.written') }} as actual_without_list
    from cases
    cross join missing_values
)

select * from readings
where
    actual is distinct from expected
    or actual_with_null_list is distinct from without_list
    or actual_without_list is distinct from without_list
