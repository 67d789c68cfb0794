{{ config(group='pipeline') }}
{#
    Landed files are created once and never changed, and each is loaded once. Fails for
    a loaded file that changed or is gone, and for one that was landed, holds more than
    blank lines and was not loaded.
#}
{% set pins = ref('base_pinterest__pins') %}
{% set geolocations = ref('base_pinterest__geolocations') %}
{% set users = ref('base_pinterest__users') %}
{% set problems = landing_problems(
    {'pin': pins, 'geo': geolocations, 'user': users}
) %}

{% if problems %}
{{ remaining_problems(problems) }}
{% else %}
select cast(null as string) as file_path
where false
{% endif %}
