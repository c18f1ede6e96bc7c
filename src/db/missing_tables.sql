-- The tables among those of $1, a comma-separated list, that the database does not have, in the same form. Where it has
-- plans, it needs neither task_item nor nonces.
SELECT coalesce(string_agg(name, ', ' ORDER BY name), '') AS missing
FROM unnest(string_to_array($1::text, ',')) AS name
WHERE to_regclass(name) IS NULL AND NOT (to_regclass('plans') IS NOT NULL AND name IN ('task_item', 'nonces'))
