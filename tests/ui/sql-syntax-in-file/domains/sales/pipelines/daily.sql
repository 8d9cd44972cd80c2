-- Orders per day
select ordered_at,
       count(*) as orders
form raw
group by ordered_at
