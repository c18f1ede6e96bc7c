-- State of a plan together with size and hash of one of its artifacts, which itself is not moved, and the size of its
-- archive. The end of the archive, where the directory is, is read if a file is looked for in it: any file but the two
-- artifacts, or a report that is not in its column. It is read too, in place of the hash, if the archive itself is wanted
-- and its layout is one that may hold provider payloads.
--
-- $1 the plan's id     $2 the user whose plans are seen; NULL: all plans
-- $3 'report' or 'zip'; NULL for another file     $4 bytes of the end
--
-- found: false when there is no such plan, or it is another user's.
SELECT
    to_regclass('plans') IS NULL AS is_current, --[task_item]
    t.id IS NOT NULL AS found,
    coalesce(t.state::text, 'pending') AS state,
    coalesce(t.stop_requested, false) AS stop_requested,
    coalesce(t.progress_percentage, 0)::float8 AS progress_percentage,
    coalesce(t.progress_message, '')::text AS progress_message,
    CASE $3::text
        WHEN 'report' THEN octet_length(t.generated_report_html)
        WHEN 'zip' THEN octet_length(t.run_zip_snapshot)
    END::int8 AS size,
    encode(sha256(CASE
        WHEN $3::text = 'report' THEN convert_to(t.generated_report_html, 'UTF8')
        WHEN $3::text = 'zip' AND NOT t.may_have_payloads THEN t.run_zip_snapshot
    END), 'hex') AS sha256,
    octet_length(t.run_zip_snapshot)::int8 AS archive_size,
    t.layout::int8 AS layout,
    -- Unix time of the end, where the row has it.
    CASE WHEN t.state::text IN ('completed', 'failed') THEN floor(extract(epoch FROM t.last_progress_at)) END::int8 AS ended,
    t.error_message::text AS error_message,
    CASE WHEN CASE $3::text
        WHEN 'report' THEN t.generated_report_html IS NULL
        WHEN 'zip' THEN t.may_have_payloads
        ELSE true
    END THEN
        substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $4::int4 + 1, 1))
    END AS archive_end,
    t.version AS version
-- A column that the table lacks is found here: a name belongs to the innermost table that has it.
FROM (VALUES (-1, NULL::timestamp, NULL::text)) lacked (run_artifact_layout_version, last_progress_at, error_message)
LEFT JOIN LATERAL (
    SELECT
        id, state, stop_requested, progress_percentage, progress_message, last_progress_at, error_message,
        generated_report_html, run_zip_snapshot, xmin::text AS version,
        -- From version 2 on, the archive has no provider payloads. -1: this schema does not know versions.
        coalesce(run_artifact_layout_version, 0) AS layout,
        coalesce(run_artifact_layout_version, 0) IN (0, 1) AS may_have_payloads
    FROM task_item
    WHERE id = $1::text::uuid AND ($2::text IS NULL OR user_id = $2::text)
) t ON true
