-- An optional index for a table of tasks that has become large. PlanExe's schema does without it, and the server never
-- changes the schema: whoever owns the database runs this, once, at any time.
--
-- A task that is asked for by an id that no task has is looked for once more, among the legacy ids that tasks of older
-- versions carry in their parameters. Without this index Postgres reads the whole table for that.
CREATE INDEX CONCURRENTLY IF NOT EXISTS task_item_mcp_task_id
    ON task_item ((parameters ->> '_mcp_task_id'))
    WHERE parameters ->> '_mcp_task_id' IS NOT NULL;
