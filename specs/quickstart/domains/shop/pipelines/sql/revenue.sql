-- Orders come from the lake: the pipeline `shop/orders` loads them, so that it runs first.
SELECT
    n_name AS nation,
    CAST(extract(year FROM o_orderdate) AS INT) AS year,
    count(DISTINCT o_orderkey) AS orders,
    CAST(sum(l_extendedprice * (1 - l_discount)) AS DECIMAL(18, 2)) AS revenue
FROM lineitem
JOIN shop.orders ON o_orderkey = l_orderkey
JOIN customer ON c_custkey = o_custkey
JOIN nation ON n_nationkey = c_nationkey
GROUP BY n_name, extract(year FROM o_orderdate)
