-- What today's services of PlanExe make of an empty database, after `february.sql`: a table whose columns stand in
-- another order is made anew. A copy for local databases and tests, as that one is.

DROP TABLE task_item, user_api_key, credit_history;
DROP TYPE taskstate;
CREATE TYPE planstate AS ENUM ('pending', 'processing', 'completed', 'failed', 'stopped');
CREATE TABLE plans (
    id uuid PRIMARY KEY,
    timestamp_created timestamp,
    state planstate,
    prompt text,
    progress_percentage numeric(5,2),
    progress_message varchar(128),
    steps_completed integer,
    steps_total integer,
    current_step varchar(128),
    last_seen_timestamp timestamp,
    stop_requested boolean,
    stop_requested_timestamp timestamp,
    user_id varchar(256),
    api_key_id varchar(36),
    parameters json,
    generated_report_html text,
    run_zip_snapshot bytea,
    run_track_activity_jsonl text,
    run_track_activity_bytes integer,
    run_activity_overview_json json,
    run_artifact_layout_version integer,
    failure_reason varchar(64),
    failed_step varchar(128),
    error_message varchar(256),
    recoverable boolean,
    last_progress_at timestamp
);
CREATE INDEX ix_plans_api_key_id ON plans (api_key_id);
CREATE INDEX idx_plans_api_key_id ON plans (api_key_id);
CREATE INDEX idx_plans_user_id_timestamp_created ON plans (user_id, timestamp_created);
CREATE TABLE user_api_key (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    key_hash varchar(128) NOT NULL UNIQUE,
    key_prefix varchar(16) NOT NULL,
    label varchar(128),
    key_plaintext varchar(64),
    created_at timestamp,
    last_used_at timestamp,
    revoked_at timestamp
);
CREATE INDEX ix_user_api_key_key_prefix ON user_api_key (key_prefix);
CREATE INDEX ix_user_api_key_user_id ON user_api_key (user_id);
CREATE TABLE credit_history (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    delta numeric(18,9) NOT NULL,
    reason varchar(128) NOT NULL,
    source varchar(32) NOT NULL,
    external_id varchar(256),
    api_key_id varchar(36),
    created_at timestamp
);
CREATE INDEX ix_credit_history_api_key_id ON credit_history (api_key_id);
CREATE INDEX idx_credit_history_api_key_id ON credit_history (api_key_id);
CREATE INDEX ix_credit_history_user_id ON credit_history (user_id);
ALTER TABLE user_account ALTER credits_balance TYPE numeric(18,9), ALTER credits_balance SET DEFAULT 0,
    ADD frontend_multi_user_config json;
ALTER TABLE payment_record ALTER credits TYPE numeric(18,9);
