select ordered_at, count(*) as orders
from "Raw"
group by ordered_at
