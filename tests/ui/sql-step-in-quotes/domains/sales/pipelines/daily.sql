with raws as (select * from rawer)
select * from raws
