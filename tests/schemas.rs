//! The databases of the other tests are what they say they are.

use crate::support::{Schema, Stage, run};

/// What tells the states apart: the tables of plans and of feedback, the type of states with its last label, how many
/// columns of today the plans have, the type of credits, whether users have settings of the web UI.
const TRAITS: &str = "
SELECT concat_ws(' ', to_regclass('plans'), to_regclass('task_item'), to_regclass('feedback_item'),
    (SELECT format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = plans AND attname = 'state'),
    (SELECT max(enumlabel) FROM pg_enum JOIN pg_attribute ON atttypid = enumtypid WHERE attrelid = plans),
    (SELECT count(*) FROM pg_attribute WHERE attrelid = plans AND attnum > 0),
    (SELECT string_agg(format_type(atttypid, -1), ' ' ORDER BY attname) FROM pg_attribute
        WHERE attrelid = 'user_account'::regclass AND attname IN ('credits_balance', 'frontend_multi_user_config')))
FROM coalesce(to_regclass('plans'), to_regclass('task_item')) AS plans";

#[test]
fn each_state_of_the_database_arises() {
    run(async {
        for schema in Schema::ALL {
            let traits = match schema {
                Schema::February => "task_item taskstate processing 13 integer",
                Schema::Between => "task_item feedback_item planstate stopped 26 numeric json",
                Schema::HalfUpgraded => "plans feedback_item taskstate stopped 26 integer",
                Schema::Upgraded => "plans feedback_item taskstate stopped 26 numeric json",
                Schema::May => "plans feedback_item planstate stopped 26 numeric json",
                Schema::Headless => "plans planstate stopped 26 numeric json",
                Schema::Both => "plans task_item feedback_item taskstate stopped 26 numeric json",
            };
            let stage = Stage::builder().schema(schema).working().build().await;
            let row = stage.sql.query_one(TRAITS, &[]).await.expect("one row");
            assert_eq!(row.get::<_, &str>(0), traits, "{schema:?}");
            let user = stage.user("ann", 3).await;
            assert_eq!((stage.balance(&user).await, stage.count("task_item").await), (3, 0));
            stage.assert_books_balance(1).await;
            if schema == Schema::February {
                stage.upgrade().await;
                let row = stage.sql.query_one(TRAITS, &[]).await.expect("one row");
                let upgraded = "plans feedback_item taskstate stopped 26 numeric json";
                assert_eq!((row.get::<_, &str>(0), stage.schema()), (upgraded, Schema::Upgraded));
                let id = stage.create("p").await;
                stage.wait_for(&id, &["completed"]).await;
                let layout = "SELECT max(run_artifact_layout_version)::text FROM task_item";
                let layout = stage.value(layout, &[]).await;
                assert_eq!(layout.as_deref(), Some("2"), "today's worker is at work");
                stage.assert_books_balance(1).await;
            }
        }
    });
}
