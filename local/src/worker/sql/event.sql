-- Joins contexts. Each value becomes a string as in Python, and by way of jsonb the text has its blanks as there.
INSERT INTO events (timestamp, event_type, message, context)
SELECT timezone('utc', now()), $1::text::eventtype, $2, jsonb_object_agg(key,
    CASE jsonb_typeof(value) WHEN 'boolean' THEN initcap(value #>> '{}') ELSE value #>> '{}' END)::text::json
FROM jsonb_array_elements($3::jsonb) AS contexts (context), jsonb_each(jsonb_strip_nulls(context))
RETURNING id
