-- An optional index for a large table of events. PlanExe's schema does without it, and the server never changes the
-- schema: the owner of the database runs this once, at any time, also while the server runs. If it is interrupted, it
-- leaves an invalid index, which the server does not use: DROP INDEX planexe_mcp_events_task, then run it again.
--
-- When a task ended, and why it failed, is only in an event, which names its task only in its JSON. Without this index
-- the server reads at most the newest 10,000 events of a type since the task's creation. For tasks with more newer events
-- it leaves the end out. The server looks for the index by this name.
CREATE INDEX CONCURRENTLY IF NOT EXISTS planexe_mcp_events_task
    ON events ((context ->> 'task_id'), "timestamp")
    WHERE event_type IN ('TASK_PROCESSING', 'TASK_COMPLETED', 'TASK_FAILED');

-- An index for ids of older versions of the server, which looks for none of them any more.
DROP INDEX CONCURRENTLY IF EXISTS task_item_mcp_task_id;
