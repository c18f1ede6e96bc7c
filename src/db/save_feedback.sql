-- Keeps what a caller thinks of PlanExe, with the state of the plan that it is about.
--
-- $1 id of the feedback     $2 category     $3 message     $4 rating, or NULL     $5 the plan's id, or NULL
-- $6 the user whose plans are seen and who speaks; NULL: the operator
--
-- found: false when there is no such plan, or it is another user's     saved: false where the database has no table for it
WITH plan AS (
    SELECT
        --[feedback_item] t.current_step,
        t.id, t.state, t.progress_percentage
    FROM task_item t
    WHERE t.id = $5::text::uuid AND ($6::text IS NULL OR t.user_id = $6::text)
),
allowed AS (
    SELECT $5::text IS NULL OR EXISTS (SELECT FROM plan) AS found
),
saved AS (
    SELECT $1::text, $2::text, $3::text, $4::int4 WHERE false --[no feedback_item]
    --[feedback_item] INSERT INTO feedback_item (
    --[feedback_item]     id, received_at, category, message, rating, plan_id, user_id, plan_progress_pct, plan_state, plan_current_step)
    --[feedback_item] SELECT $1::text, now() AT TIME ZONE 'UTC', $2::text, $3::text, $4::int4, (SELECT id::text FROM plan),
    --[feedback_item]     $6::text, (SELECT progress_percentage::float8 FROM plan), (SELECT left(state::text, 16) FROM plan),
    --[feedback_item]     (SELECT current_step FROM plan)
    --[feedback_item] FROM allowed WHERE found
    --[feedback_item] RETURNING id
)
SELECT
    CASE WHEN to_regclass('plans') IS NOT NULL THEN 'task_item_was_renamed'::text::regclass::text END AS renamed, --[task_item]
    found,
    EXISTS (SELECT FROM saved) AS saved,
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS received_at
FROM allowed
