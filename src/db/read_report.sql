-- A slice of a report.
--
-- $1 the task's id     $2 version of its row     $3 first byte, counted from 1     $4 length
--
-- bytes: NULL when the row has another version.
SELECT (
    SELECT substring(convert_to(generated_report_html, 'UTF8') FROM $3::int4 FOR $4::int4)
    FROM task_item WHERE id = $1::text::uuid AND xmin::text = $2::text) AS bytes
