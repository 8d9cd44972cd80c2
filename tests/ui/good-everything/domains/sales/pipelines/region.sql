-- Customers and days of each region
with days as (select count(*) as days from sales.daily)
select c.region, count(*) as customers, max(d.days) as days, max(c.name) as name,
       max(c.updated_at) as updated_at
from sales.customer as c
cross join days as d
group by c.region
