-- State of a task together with size and hash of one of its artifacts, which itself is not moved, and the size of its
-- archive. The end of the archive, where the directory is, is read if a file is looked for in it: any file but the two
-- artifacts, or a report that is not in its column.
--
-- $1 the task's id     $2 the user whose tasks are seen; NULL: all tasks
-- $3 'report' or 'zip'; NULL for another file     $4 bytes of the end
--
-- found: false when there is no such task, or it is another user's.
SELECT
    t.id IS NOT NULL AS found,
    coalesce(t.state::text, 'pending') AS state,
    coalesce(t.stop_requested, false) AS stop_requested,
    coalesce(t.progress_percentage, 0)::float8 AS progress_percentage,
    coalesce(t.progress_message, '')::text AS progress_message,
    CASE $3::text
        WHEN 'report' THEN octet_length(t.generated_report_html)
        WHEN 'zip' THEN octet_length(t.run_zip_snapshot)
    END::int8 AS size,
    encode(sha256(CASE $3::text
        WHEN 'report' THEN convert_to(t.generated_report_html, 'UTF8')
        WHEN 'zip' THEN t.run_zip_snapshot
    END), 'hex') AS sha256,
    octet_length(t.run_zip_snapshot)::int8 AS archive_size,
    CASE WHEN $3::text IS NULL OR ($3::text = 'report' AND t.generated_report_html IS NULL) THEN
        substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $4::int4 + 1, 1))
    END AS archive_end,
    t.xmin::text AS version
FROM (VALUES (1)) always
LEFT JOIN task_item t ON t.id = $1::text::uuid AND ($2::text IS NULL OR t.user_id = $2::text)
