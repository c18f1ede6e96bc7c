//! Every statement of `src/db/` against a real Postgres.

use tokio_postgres::types::{ToSql, Type};

use crate::support::{Stage, project, run};

/// The statements, by the name of their file, as the component sends them.
fn statements() -> Vec<(String, String)> {
    let folder = project().join("src/db");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a readable file");
    let names = std::fs::read_dir(&folder).expect("the folder");
    let names = names.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let names = names.filter(|name| name.ends_with(".sql") && name != "caller.sql");
    names
        .map(|name| {
            let own = read(&name);
            let whole = if own.contains("Follows caller.sql") {
                read("caller.sql") + &own
            } else {
                own
            };
            (name, whole)
        })
        .collect()
}

/// Some releases of Spin wait for ever on a result without rows.
#[test]
fn every_statement_returns_a_row_whatever_it_finds() {
    run(async {
        let stage = Stage::builder().build().await;
        let id = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1".to_owned();
        let known = stage.create("p").await;
        stage.execute("DELETE FROM task_item", &[]).await;
        let all = statements();
        assert!(all.len() > 5, "{}", all.len());
        for (name, statement) in all {
            for (first, other) in [(&id, None), (&id, Some("nothing".to_owned())), (&known, None)] {
                let types = stage.parameter_types(&statement).await;
                let values: Vec<Box<dyn ToSql + Sync>> = types
                    .iter()
                    .enumerate()
                    .map(|(number, kind)| -> Box<dyn ToSql + Sync> {
                        match *kind {
                            Type::INT4 => Box::new(1_i32),
                            Type::FLOAT8 => Box::new(60.0_f64),
                            Type::TEXT if number == 0 => Box::new(first.clone()),
                            Type::TEXT => Box::new(other.clone()),
                            ref kind => panic!("{name}: the host has no parameter of the type {kind}"),
                        }
                    })
                    .collect();
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
                let rows = stage.query(&statement, &values).await;
                assert_eq!(rows.len(), 1, "{name} with {other:?}");
            }
        }
    });
}
