{# A landed line, and what it is as a pin, as a geolocation and as a user record. #}
{% set pin = '{"index":7,"unique_id":"u","category":"art"}' %}
{% set user = '{"ind":7,"first_name":"Ada","last_name":"Ashwood","age":36}' %}
{% set geo = '{"ind":7,"latitude":1.5,"longitude":-2.5,"country":"Norway"}' %}
{% set cases = [
    [pin, 'valid 7', 'no_key', 'no_key'],
    [geo, 'no_key', 'valid 7', 'foreign'],
    [user, 'no_key', 'foreign', 'valid 7'],
    [' \t' ~ pin ~ '\r', 'valid 7', 'no_key', 'no_key'],
    ['[' ~ pin ~ ']', 'valid 7', 'no_key', 'no_key'],
    [' [ ' ~ user ~ ' ] ', 'no_key', 'foreign', 'valid 7'],
    ['[' ~ pin ~ ',' ~ pin ~ ']', 'not_object', 'not_object', 'not_object'],
    ['[[' ~ pin ~ ']]', 'not_object', 'not_object', 'not_object'],
    ['[]', 'not_object', 'not_object', 'not_object'],
    ['[null]', 'not_object', 'not_object', 'not_object'],
    ['[1]', 'not_object', 'not_object', 'not_object'],
    ['["{}"]', 'not_object', 'not_object', 'not_object'],
    ['null', 'not_object', 'not_object', 'not_object'],
    ['true', 'not_object', 'not_object', 'not_object'],
    ['42', 'not_object', 'not_object', 'not_object'],
    ['"hello"', 'not_object', 'not_object', 'not_object'],
    ['"{}"', 'not_object', 'not_object', 'not_object'],
    ['hello', 'not_json', 'not_json', 'not_json'],
    ['eyJpbmRleCI6N30=', 'not_json', 'not_json', 'not_json'],
    ['{', 'not_json', 'not_json', 'not_json'],
    ['[', 'not_json', 'not_json', 'not_json'],
    ['[' ~ pin, 'not_json', 'not_json', 'not_json'],
    [pin[:-1], 'not_json', 'not_json', 'not_json'],
    ['{"index":7,"ind":7,"title":"cut o', 'not_json', 'not_json', 'not_json'],
    ['{}', 'no_key', 'no_key', 'no_key'],
    ['[{}]', 'no_key', 'no_key', 'no_key'],
    ['{"hello":"world"}', 'no_key', 'no_key', 'no_key'],
    ['{"index":null,"title":"t"}', 'no_key', 'no_key', 'no_key'],
    ['{"index":-1,"title":"t"}', 'no_key', 'no_key', 'no_key'],
    ['{"index":1.5,"title":"t"}', 'no_key', 'no_key', 'no_key'],
    ['{"index":[7],"title":"t"}', 'no_key', 'no_key', 'no_key'],
    ['{"index":{"index":7},"title":"t"}', 'no_key', 'no_key', 'no_key'],
    ['{"Index":7,"title":"t"}', 'no_key', 'no_key', 'no_key'],
    ['{"value":{"index":7,"title":"t"}}', 'no_key', 'no_key', 'no_key'],
    ['{"index":"1234567890123456789","title":"t"}', 'no_key', 'no_key', 'no_key'],
    ['{"index":"7","title":"t"}', 'valid 7', 'no_key', 'no_key'],
    ['{"index":" 007 ","title":"t"}', 'valid 7', 'no_key', 'no_key'],
    ['{"index":123456789012345678,"title":"t"}', 'valid 123456789012345678',
        'no_key', 'no_key'],
    ['{"index":7}', 'foreign', 'no_key', 'no_key'],
    ['{"index":7,"hello":"world"}', 'foreign', 'no_key', 'no_key'],
    ['{"index":7,"ind":7}', 'foreign', 'foreign', 'foreign'],
    ['{"index":7,"title":null}', 'valid 7', 'no_key', 'no_key'],
    ['{"index":7,"note":{"title":"t"}}', 'foreign', 'no_key', 'no_key'],
    ['{"ind":7,"country":null}', 'no_key', 'valid 7', 'foreign'],
    ['{"ind":7,"age":"34"}', 'no_key', 'foreign', 'valid 7'],
] %}

with

lines as (
    {{ value_table(
        {
            'line': 'string',
            'as_pin': 'string',
            'as_geo': 'string',
            'as_user': 'string',
        },
        cases
    ) }}
),

objects as (
    select
        *,
        true as is_utf8,
        {{ object_of('line') }} as object
    from lines
),
{% for record_type in ['pin', 'geo', 'user'] %}
{{ record_type }}_records as (
    select
        *,
        {{ parse_record('object', record_type) }} as record
    from objects
),

{{ record_type }}_keys as (
    select
        *,
        {{ read_event_number(
            trim_text('record.' ~ record_fields(record_type)[0])
        ) }} as post_id
    from {{ record_type }}_records
),

{{ record_type }}_readings as (
    select
        '{{ record_type }}' as record_type,
        line,
        as_{{ record_type }} as expected,
        coalesce(
            {{ reject_reason(record_type) }},
            'valid ' || cast(post_id as string)
        ) as actual
    from {{ record_type }}_keys
),
{% endfor %}
readings as (
    select * from pin_readings
    union all
    select * from geo_readings
    union all
    select * from user_readings
)

select * from readings
where actual is distinct from expected
