-- The tables that February's database has not, as today's services make them in any.

CREATE TABLE feedback_item (
    id varchar(36) PRIMARY KEY,
    received_at timestamp NOT NULL,
    category varchar(32) NOT NULL,
    message text NOT NULL,
    plan_id varchar(36),
    rating integer,
    user_id varchar(36),
    plan_progress_pct double precision,
    plan_state varchar(16),
    plan_current_step varchar(128)
);
CREATE INDEX ix_feedback_item_received_at ON feedback_item (received_at);
CREATE TABLE token_metrics (
    id serial PRIMARY KEY,
    "timestamp" timestamp NOT NULL,
    llm_model varchar(255) NOT NULL,
    task_id varchar(255),
    user_id varchar(255),
    api_key_id varchar(36),
    upstream_provider varchar(255),
    upstream_model varchar(255),
    input_tokens integer,
    output_tokens integer,
    thinking_tokens integer,
    cost_usd double precision,
    duration_seconds double precision,
    success boolean NOT NULL,
    error_message text,
    raw_usage_data json
);
CREATE INDEX ix_token_metrics_api_key_id ON token_metrics (api_key_id);
CREATE INDEX ix_token_metrics_llm_model ON token_metrics (llm_model);
CREATE INDEX ix_token_metrics_task_id ON token_metrics (task_id);
CREATE INDEX ix_token_metrics_timestamp ON token_metrics ("timestamp");
CREATE INDEX ix_token_metrics_upstream_model ON token_metrics (upstream_model);
CREATE INDEX ix_token_metrics_upstream_provider ON token_metrics (upstream_provider);
CREATE INDEX ix_token_metrics_user_id ON token_metrics (user_id);
