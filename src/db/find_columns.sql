-- The columns of the table of the plans, comma-separated.
SELECT
    to_regclass('plans') IS NULL AS is_current, --[task_item]
    coalesce(string_agg(attname, ','), '') AS columns
FROM pg_attribute
WHERE attrelid = 'task_item'::regclass AND attnum > 0 AND NOT attisdropped
