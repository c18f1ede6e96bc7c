-- A piece of a report: $3 the first byte, counted from 1, $4 how many. $2 is the version of the row: of another there
-- is no piece.
SELECT substring(convert_to(generated_report_html, 'UTF8') FROM $3::int4 FOR $4::int4)
FROM task_item WHERE id = $1::text::uuid AND xmin::text = $2::text
