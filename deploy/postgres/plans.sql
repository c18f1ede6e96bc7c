-- An optional index for today's PlanExe, whose plans are in the table plans: plan_list of a user with many plans, or among
-- many users, finds the newest by it. The owner of the database runs this once, at any time, also while the server runs.
-- If it is interrupted, it leaves an invalid index: DROP INDEX planexe_mcp_plans_user, then run it again.
CREATE INDEX CONCURRENTLY IF NOT EXISTS planexe_mcp_plans_user ON plans (user_id, timestamp_created DESC NULLS LAST);
