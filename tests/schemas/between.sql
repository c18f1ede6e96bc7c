-- On today's database: what the services of April had made of an empty one, before the table was renamed.
ALTER TABLE plans RENAME TO task_item;
ALTER TABLE task_item RENAME CONSTRAINT plans_pkey TO task_item_pkey;
ALTER INDEX ix_plans_api_key_id RENAME TO ix_task_item_api_key_id;
ALTER INDEX idx_plans_api_key_id RENAME TO idx_task_item_api_key_id;
ALTER INDEX idx_plans_user_id_timestamp_created RENAME TO idx_task_item_user_id_timestamp_created;
