-- On half_upgraded.sql: what today's worker and web UI run when they start.
ALTER TABLE user_account ALTER credits_balance TYPE numeric(18,9), ALTER credits_balance SET DEFAULT 0,
    ADD frontend_multi_user_config json;
ALTER TABLE credit_history ALTER delta TYPE numeric(18,9);
ALTER TABLE payment_record ALTER credits TYPE numeric(18,9);
CREATE INDEX idx_plans_user_id_timestamp_created ON plans (user_id, timestamp_created);
CREATE INDEX idx_plans_api_key_id ON plans (api_key_id);
CREATE INDEX idx_credit_history_api_key_id ON credit_history (api_key_id);
