-- What May stores at the end of a run.
UPDATE task_item SET generated_report_html = $2, run_zip_snapshot = $3, run_track_activity_jsonl = nullif($4::text, ''),
    run_track_activity_bytes = octet_length(nullif($4, '')), run_activity_overview_json = nullif($5::text, '')::json,
    run_artifact_layout_version = 2
WHERE id = $1::text::uuid RETURNING id
