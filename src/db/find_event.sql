-- The event of a task's present state. TASK_PROCESSING says when a worker took the task; TASK_COMPLETED and
-- TASK_FAILED say when it ended, and TASK_FAILED says why. No column of task_item has any of that.
--
-- $1 the task's id
--
-- An event names its task only in its JSON. With the index of deploy/postgres/indices.sql the event is found by it.
-- Without the index, the first 10,000 events of the type since the task's creation are read, and for them at most the
-- first 100,000 of all types: the end comes some minutes after the creation. An index whose making was interrupted is
-- there, but not valid.
--
-- at: Unix time of the event     elapsed: seconds from the task's creation to it     age: seconds since then
SELECT
    to_regclass('plans') IS NULL AS is_current, --[task_item]
    floor(extract(epoch FROM found.at))::int8 AS at,
    extract(epoch FROM found.at - found.timestamp_created)::float8 AS elapsed,
    extract(epoch FROM now() AT TIME ZONE 'UTC' - found.at)::float8 AS age,
    found.reason
FROM (VALUES (1)) always LEFT JOIN (
    SELECT t.timestamp_created, e."timestamp" AS at, left(e.context ->> 'machai_error_message', 300) AS reason
    FROM task_item t
    CROSS JOIN LATERAL (
        SELECT (CASE t.state
            WHEN 'processing' THEN 'TASK_PROCESSING'
            WHEN 'completed' THEN 'TASK_COMPLETED'
            WHEN 'failed' THEN 'TASK_FAILED'
            --[stopped] WHEN 'stopped' THEN 'TASK_FAILED'
        END)::eventtype AS event_type
    ) wanted
    CROSS JOIN LATERAL (
        (
            SELECT n."timestamp", n.context FROM events n
            WHERE EXISTS (
                SELECT FROM pg_index WHERE indexrelid = to_regclass('planexe_mcp_events_task') AND indisvalid)
            AND n.event_type IN ('TASK_PROCESSING', 'TASK_COMPLETED', 'TASK_FAILED')
            AND n.event_type = wanted.event_type
            AND n.context ->> 'task_id' = t.id::text
            ORDER BY n."timestamp" DESC LIMIT 1
        )
        UNION ALL
        (
            SELECT last."timestamp", last.context FROM (
                SELECT n."timestamp" FROM (
                    SELECT a."timestamp", a.context FROM (
                        SELECT "timestamp", event_type, context FROM events
                        WHERE "timestamp" >= coalesce(t.timestamp_created - interval '1 minute', '-infinity')
                        ORDER BY "timestamp" LIMIT 100000
                    ) a
                    WHERE a.event_type = wanted.event_type
                    LIMIT 10000
                ) n
                WHERE NOT EXISTS (
                    SELECT FROM pg_index WHERE indexrelid = to_regclass('planexe_mcp_events_task') AND indisvalid)
                -- The text is searched first: parsing the JSON of every event would take longer.
                AND CASE WHEN strpos(n.context::text, t.id::text) > 0 THEN n.context ->> 'task_id' = t.id::text END
                LIMIT 1
            ) first
            -- A worker may write a second event of a failure seconds later, with another reason.
            CROSS JOIN LATERAL (
                SELECT n."timestamp", n.context FROM events n
                WHERE n."timestamp" BETWEEN first."timestamp" AND first."timestamp" + interval '1 minute'
                AND n.event_type = wanted.event_type
                AND CASE WHEN strpos(n.context::text, t.id::text) > 0 THEN n.context ->> 'task_id' = t.id::text END
                ORDER BY n."timestamp" DESC LIMIT 1
            ) last
        )
    ) e
    WHERE t.id = $1::text::uuid AND t.state <> 'pending'
) found ON true
