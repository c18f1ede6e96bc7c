-- A piece of an archive, as read_report.sql reads one of a report.
SELECT substring(run_zip_snapshot FROM $3::int4 FOR $4::int4)
FROM task_item WHERE id = $1::text::uuid AND xmin::text = $2::text
