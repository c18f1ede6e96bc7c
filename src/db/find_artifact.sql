-- State of a task together with size and hash of one of its artifacts, which itself is not moved, and the size of its
-- archive. The end of the archive, where the directory is, comes along if a file is looked for in it: any file but the
-- two artifacts, or a report that is not in its column. Follows caller.sql.
--
-- $3 'report' or 'zip'; NULL for another file     $4 bytes of the end
SELECT
    $2::text IS NULL OR EXISTS (SELECT FROM caller),
    t.id IS NOT NULL,
    coalesce(t.state::text, 'pending'),
    coalesce(t.stop_requested, false),
    coalesce(t.progress_percentage, 0)::float8,
    coalesce(t.progress_message, ''),
    CASE $3::text
        WHEN 'report' THEN octet_length(t.generated_report_html)
        WHEN 'zip' THEN octet_length(t.run_zip_snapshot)
    END::int8,
    encode(sha256(CASE $3::text
        WHEN 'report' THEN convert_to(t.generated_report_html, 'UTF8')
        WHEN 'zip' THEN t.run_zip_snapshot
    END), 'hex'),
    octet_length(t.run_zip_snapshot)::int8,
    CASE WHEN $3::text IS NULL OR ($3::text = 'report' AND t.generated_report_html IS NULL) THEN
        substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $4::int4 + 1, 1))
    END,
    t.xmin::text
FROM asked LEFT JOIN task_item t ON t.id = asked.id
