-- The columns of the table of the plans, comma-separated.
SELECT coalesce(string_agg(attname, ','), '') AS columns
FROM pg_attribute
WHERE attrelid = to_regclass('task_item') AND attnum > 0 AND NOT attisdropped
