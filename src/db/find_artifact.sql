-- State of a task together with size and hash of one of its artifacts, which itself is not moved. Follows caller.sql.
--
-- $3 'report' or 'zip'
SELECT
    $2::text IS NULL OR EXISTS (SELECT FROM caller),
    t.id::text,
    t.state::text,
    coalesce(t.stop_requested, false),
    coalesce(t.progress_percentage, 0)::float8,
    coalesce(t.progress_message, ''),
    CASE $3::text WHEN 'report' THEN octet_length(t.generated_report_html) ELSE octet_length(t.run_zip_snapshot) END::int8,
    encode(sha256(
        CASE $3::text WHEN 'report' THEN convert_to(t.generated_report_html, 'UTF8') ELSE t.run_zip_snapshot END), 'hex'),
    t.xmin::text,
    floor(extract(epoch FROM CASE WHEN t.state IN ('completed', 'failed') THEN t.last_seen_timestamp END))::int8
FROM asked LEFT JOIN task_item t ON t.id = asked.id
