-- On today's database: what the worker alone has made of an empty one.
DROP TABLE feedback_item, nonces, payment_record, user_provider;
DROP INDEX idx_plans_user_id_timestamp_created, idx_plans_api_key_id, idx_credit_history_api_key_id;
