-- Sales per day and region.
select
    cast(ordered_at as date) as day,
    region,
    count(*) as orders,
    sum(amount) as amount
from sales.orders
group by cast(ordered_at as date), region
