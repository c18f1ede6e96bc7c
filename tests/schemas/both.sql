-- On upgraded.sql: a service of February has been started after the upgrade, and made its table once more.
CREATE TABLE task_item (
    id uuid PRIMARY KEY,
    timestamp_created timestamp,
    state taskstate,
    prompt text,
    progress_percentage numeric(5,2),
    progress_message varchar(128),
    last_seen_timestamp timestamp,
    stop_requested boolean,
    stop_requested_timestamp timestamp,
    user_id varchar(256),
    parameters json,
    generated_report_html text,
    run_zip_snapshot bytea
);
