INSERT INTO workers (id, started_at, last_heartbeat_at, current_task_id)
VALUES ($1, timezone('utc', now()), timezone('utc', now()), $2)
ON CONFLICT (id) DO UPDATE
SET last_heartbeat_at = excluded.last_heartbeat_at, current_task_id = excluded.current_task_id
RETURNING id
