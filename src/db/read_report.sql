-- A slice of a report: $3 its first byte, counted from 1, $4 its length. NULL when the row's version is not $2.
SELECT (
    SELECT substring(convert_to(generated_report_html, 'UTF8') FROM $3::int4 FOR $4::int4)
    FROM task_item WHERE id = $1::text::uuid AND xmin::text = $2::text)
