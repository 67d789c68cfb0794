{# Fails for each row on which the expression is not true; null passes. #}
{% test satisfies(model, expression) %}

select *
from {{ model }}
where not ({{ expression }})

{% endtest %}
