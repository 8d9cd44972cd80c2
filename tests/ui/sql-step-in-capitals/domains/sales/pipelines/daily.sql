select ordered_at, count(*) as orders
from RAW
group by ordered_at
