//! Every statement of `src/db/` against a real Postgres.

use std::collections::BTreeMap;

use planexe_mcp::db::schema::{COLUMNS, Schema as PlanSchema, Table};
use tokio_postgres::{
    Client, Statement,
    types::{ToSql, Type},
};

use crate::support::{Schema, Stage, project, run};

/// The statements, by the names of their files.
fn statements() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(project().join("src/db")).expect("the folder");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "sql"));
    let read = |file: &std::path::Path| std::fs::read_to_string(file).expect("a readable file");
    files
        .map(|file| (file.file_name().expect("a name").display().to_string(), read(&file)))
        .collect()
}

/// A statement as the component makes it for a database: it is prepared, and where a table is missing, made for the schema
/// without it.
async fn prepare(sql: &Client, statement: &str, conditions: &[&str]) -> Statement {
    let mut schema = PlanSchema::of(Table::TaskItem);
    loop {
        match sql.prepare(&schema.render(statement, conditions)).await {
            Ok(prepared) => return prepared,
            Err(error) => {
                let error = error.as_db_error().expect("an error of Postgres").clone();
                let next = schema.after(error.code().code(), error.message());
                schema = next.unwrap_or_else(|| panic!("{schema:?}: {error:?}"));
            }
        }
    }
}

/// The conditions with which the component makes statements.
const CONDITIONS: [&[&str]; 6] = [
    &["retry"],
    &["resume"],
    &["retry", "user", "claim", "lacking"],
    &["retry", "user", "request_id"],
    &["retry", "request_id"],
    &["retry", "claim", "first"],
];

/// Some releases of Spin wait for ever on a result without rows.
#[test]
fn every_statement_returns_a_row_whatever_it_finds() {
    run(async {
        let all = statements();
        assert!(all.len() > 11, "{}", all.len());
        let (mut wrong, mut used) = (Vec::new(), 0);
        for schema in Schema::ALL {
            let stage = Stage::builder().schema(schema).build().await;
            let unknown = "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1".to_owned();
            let known = stage.create("p").await;
            let columns = stage
                .sql
                .query_one(include_str!("../src/db/find_columns.sql"), &[])
                .await;
            // It is refused where the table has its new name: then all columns are there.
            let columns: String = columns.map_or_else(|_| String::new(), |row| row.get("columns"));
            let columns = || {
                COLUMNS
                    .into_iter()
                    .filter(|known| columns.split(',').any(|column| column == *known))
            };
            for (name, statement) in &all {
                for conditions in CONDITIONS {
                    let conditions: Vec<&str> = columns().chain(conditions.iter().copied()).collect();
                    let prepared = prepare(&stage.sql, statement, &conditions).await;
                    for id in [&known, &unknown] {
                        for other in [None, Some("nothing".to_owned())] {
                            for window in [0.0, 60.0] {
                                let mut value = |(number, kind): (usize, &Type)| -> Box<dyn ToSql + Sync> {
                                    match *kind {
                                        Type::INT4 => Box::new(1_i32),
                                        Type::FLOAT8 => Box::new(window),
                                        Type::TEXT if number == 0 && name == "save_feedback.sql" => {
                                            used += 1;
                                            Box::new(used.to_string())
                                        }
                                        Type::TEXT if number == 0 => Box::new(id.clone()),
                                        // The parameters of a plan are JSON, its id is a UUID.
                                        Type::TEXT if name == "create_task.sql" && [8, 10].contains(&number) => {
                                            Box::new("{}")
                                        }
                                        // All but the key of the payer are given.
                                        Type::TEXT if name == "create_task.sql" && number != 3 => {
                                            Box::new("speed_vs_detail")
                                        }
                                        Type::TEXT if name == "save_feedback.sql" && number == 4 => {
                                            Box::new(other.as_ref().map(|_| id.clone()))
                                        }
                                        Type::TEXT if name == "hash_parts.sql" && number == 1 => Box::new("{}"),
                                        Type::TEXT if name == "hash_parts.sql" && number == 2 => Box::new("eA=="),
                                        Type::TEXT if name == "save_feedback.sql" && [1, 2].contains(&number) => {
                                            Box::new("a text")
                                        }
                                        // Ranges, and bytes in base64.
                                        Type::TEXT if name == "hash_parts.sql" => Box::new(["{}", ""][number - 1]),
                                        Type::TEXT => Box::new(other.clone()),
                                        ref kind => panic!("{name}: the host has no parameter of the type {kind}"),
                                    }
                                };
                                let values: Vec<_> = prepared.params().iter().enumerate().map(&mut value).collect();
                                let values: Vec<_> = values.iter().map(|value| &**value as _).collect();
                                let result = stage.sql.query(&prepared, &values).await;
                                let rows = match result {
                                    Ok(rows) => rows.len().to_string(),
                                    // The statement is for a table that is a leftover, and says so.
                                    Err(error) if format!("{error:?}").contains("task_item_was_renamed") => {
                                        "1".to_owned()
                                    }
                                    Err(error) => format!("{error:?}"),
                                };
                                if rows != "1" {
                                    wrong
                                        .push(format!("{schema:?}, {name}: {rows} rows for {id}, {other:?}, {window}"));
                                }
                            }
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// What two statements return under one name is the same thing: the same text, or at least the same type.
#[test]
fn columns_of_one_name_are_alike() {
    run(async {
        let stage = Stage::builder().schema(Schema::February).build().await;
        let mut types = BTreeMap::new();
        let mut texts = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, statement) in statements() {
            let prepared = stage.sql.prepare(&statement).await.expect("a valid statement");
            for column in prepared.columns() {
                let (column, kind) = (column.name().to_owned(), column.type_().clone());
                assert!(
                    [Type::BOOL, Type::INT8, Type::FLOAT8, Type::TEXT, Type::BYTEA].contains(&kind),
                    "{name}: the component does not read {column}, which is {kind}"
                );
                let (first, known) = types.entry(column.clone()).or_insert((name.clone(), kind.clone()));
                if *known != kind {
                    wrong.push(format!("{column} is {known} in {first} and {kind} in {name}"));
                }
            }
            if name.starts_with("find_status") || name.starts_with("find_artifact") {
                for line in statement
                    .lines()
                    .filter(|line| line.starts_with("    t.") || line.starts_with("    coalesce(t."))
                {
                    let (text, column) = line.trim().trim_end_matches(',').rsplit_once(" AS ").expect("a name");
                    let (first, known) = texts
                        .entry(column.to_owned())
                        .or_insert((name.clone(), text.to_owned()));
                    if known != text {
                        wrong.push(format!("{column} is {known} in {first} and {text} in {name}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}
