-- The columns of the table of the plans, comma-separated.
SELECT
    CASE WHEN to_regclass('plans') IS NOT NULL THEN 'task_item_was_renamed'::text::regclass::text END AS renamed, --[task_item]
    coalesce(string_agg(attname, ','), '') AS columns
FROM pg_attribute
WHERE attrelid = 'task_item'::regclass AND attnum > 0 AND NOT attisdropped
