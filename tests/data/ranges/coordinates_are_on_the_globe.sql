{{ config(severity='warn', group='pipeline') }}

select
    post_id,
    latitude,
    longitude
from {{ ref('stg_pinterest__geolocations') }}
where
    latitude not between -90 and 90
    or longitude not between -180 and 180
