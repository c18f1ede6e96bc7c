-- On February's database, after new_tables.sql: what today's `mcp_cloud` runs when it starts, each a transaction of its
-- own. The web UI has not been started yet: credits are integers.
CREATE TYPE planstate AS ENUM ('pending', 'processing', 'completed', 'failed', 'stopped');
ALTER TABLE task_item RENAME TO plans;
ALTER TABLE plans ADD run_track_activity_jsonl text;
ALTER TABLE plans ADD run_track_activity_bytes integer;
ALTER TABLE plans ADD run_activity_overview_json json;
ALTER TABLE plans ADD run_artifact_layout_version integer;
ALTER TABLE user_api_key ADD label varchar(128);
ALTER TABLE user_api_key ADD key_plaintext varchar(64);
ALTER TABLE plans ADD api_key_id varchar(36);
ALTER TABLE credit_history ADD api_key_id varchar(36);
ALTER TABLE plans ADD steps_completed integer;
ALTER TABLE plans ADD steps_total integer;
ALTER TABLE plans ADD current_step varchar(128);
ALTER TABLE plans ADD failure_reason varchar(64);
ALTER TABLE plans ADD failed_step varchar(128);
ALTER TABLE plans ADD recoverable boolean;
ALTER TABLE plans ADD error_message varchar(256);
ALTER TYPE taskstate ADD VALUE 'stopped';
ALTER TABLE plans ADD last_progress_at timestamp;
