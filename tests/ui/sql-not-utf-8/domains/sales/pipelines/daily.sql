select 'café' as place from raw
