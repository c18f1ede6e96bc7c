//! Application variables as the guest gets them.

use crate::support::{environment, tested, tested_with};

async fn variable(tested: &crate::support::Tested, name: &str) -> String {
    tested.ok("/var", &[("name", name)]).await
}

#[tokio::test]
async fn values() {
    let tested = tested();
    assert_eq!(variable(&tested, "greeting").await, r#"Ok("hello, world")"#);
    assert_eq!(variable(&tested, "api_key").await, r#"Ok("secret")"#);
    assert_eq!(variable(&tested, "fixed").await, r#"Ok("as it is")"#);
}

#[tokio::test]
async fn precedence() {
    let tested = tested_with(|options| {
        options.environment = environment(&[
            ("SPIN_VARIABLE_GREETING", "from environment"),
            ("SPIN_VARIABLE_API_KEY", "env"),
        ]);
        options.variables.insert("api_key".to_owned(), "option".to_owned());
    });
    assert_eq!(variable(&tested, "greeting").await, r#"Ok("from environment, world")"#);
    assert_eq!(variable(&tested, "api_key").await, r#"Ok("option")"#);
}

#[tokio::test]
async fn errors() {
    let tested = tested_with(|options| options.environment = environment(&[]));
    for (name, error) in [
        (
            "Greeting",
            r#"InvalidName("\"Greeting\": invalid character 'G'. Variable names may contain only lower-case letters, numbers, and underscores.")"#,
        ),
        (
            "a__b",
            r#"InvalidName("\"a__b\": must not contain multiple consecutive underscores")"#,
        ),
        // A variable of the application, but not of the component.
        (
            "database_host",
            r#"Undefined("no variable for \"guest\".\"database_host\"")"#,
        ),
        (
            "api_key",
            r#"Provider("no provider resolved required variable \"api_key\"")"#,
        ),
    ] {
        assert_eq!(variable(&tested, name).await, format!("Err(Error::{error})"));
    }
}
