{% set cases = [
    ['plain', 'plain'],
    ['', ''],
    [none, none],
    ['a & b', 'a & b'],
    ['a && b&', 'a && b&'],
    ['Tom &amp; Ann', 'Tom & Ann'],
    ['&amp;lt;', '&lt;'],
    ['&amp;#39;', '&#39;'],
    ['&lt;b&gt;&quot;', '<b>"'],
    ['it&#39;s', "it's"],
    ['it&#39s', "it's"],
    ['it&#039;s', "it's"],
    ['it&apos;s', "it's"],
    ['&#128077;', '👍'],
    ['&#x1F44D;', '👍'],
    ['&#X1f44d;', '👍'],
    ['&#x41 ', 'A '],
    ['&#8230;&nbsp;', '…\u00a0'],
    ['&eacute;&Eacute;', 'éÉ'],
    ['&EACUTE;', '&EACUTE;'],
    ['&nosuch;', '&nosuch;'],
    ['&amp', '&amp'],
    ['&;', '&;'],
    ['&#;', '&#;'],
    ['&#x;', '&#x;'],
    ['&#xyz;', '&#xyz;'],
    ['don&#146;t', 'don’t'],
    ['&#x80;&#0150 &#x9F', '€– Ÿ'],
    ['&#129;', '\u0081'],
    ['&#0000000000000000000039;', "'"],
    ['&#x000000000000000000027;', "'"],
    ['&#12345678;', '&#12345678;'],
    ['&#99999999999999999999;', '&#99999999999999999999;'],
    ['&#xFFFFFFFFFFFFFFFFFFFF;', '&#xFFFFFFFFFFFFFFFFFFFF;'],
    ['&lang;&rang;', '⟨⟩'],
    ['&#0;', '&#0;'],
    ['&#xD800;', '&#xD800;'],
    ['&#57343;', '&#57343;'],
    ['&#1114111;', '\U0010ffff'],
    ['&#1114112;', '&#1114112;'],
    ['&#9999999;', '&#9999999;'],
    ['&#xFFFFFF;', '&#xFFFFFF;'],
    ['日本 &amp; 👍\nline', '日本 & 👍\nline'],
    ['https://a.b/?x=1&y=2', 'https://a.b/?x=1&y=2'],
] %}

with

cases as (
    {{ value_table({'written': 'string', 'expected': 'string'}, cases) }}
),

entities as (
    select {{ map_of('entity', 'code_point') }} as code_points
    from {{ ref('html_entities') }}
),

readings as (
    select
        cases.written,
        cases.expected,
        {{ decode_html('cases.written', 'entities.code_points') }} as actual
    from cases
    cross join entities
)

select * from readings
where actual is distinct from expected
