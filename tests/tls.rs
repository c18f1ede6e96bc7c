//! TLS to Postgres, as Spin does it: asked for by default, and then verified.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    process::Command,
};

use planexe_local::cluster::Cluster;
use serde_json::json;
use tokio_postgres::NoTls;

use crate::support::{Stage, own_cluster, run};

/// Makes a Postgres offer TLS with a certificate that no machine trusts, as Debian's does.
async fn offer_tls(cluster: &Cluster) {
    let data = cluster.data();
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
        ])
        .args([
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "server.key",
            "-out",
            "server.crt",
        ])
        .current_dir(data)
        .output()
        .expect("openssl, which makes the certificate");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let owner = data.metadata().expect("the folder of the data");
    for file in ["server.key", "server.crt"] {
        let file = data.join(file);
        chown(&file, Some(owner.uid()), Some(owner.gid())).expect("an owner");
        set_permissions(&file, Permissions::from_mode(0o600)).expect("permissions");
    }
    let (client, connection) = tokio_postgres::connect(&cluster.url("postgres"), NoTls)
        .await
        .expect("a connection");
    tokio::spawn(connection);
    for statement in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        client.batch_execute(statement).await.expect("a superuser");
    }
    while client
        .query_one("SHOW ssl", &[])
        .await
        .expect("a row")
        .get::<_, String>(0)
        != "on"
    {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_named_with_what_to_do() {
    run(async {
        let cluster = own_cluster(&[]).await;
        let stage = Stage::builder().on(cluster).await;
        let unknown = json!({ "task_id": "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1" });
        assert_eq!(
            stage.tool("task_status", unknown.clone()).await["error"]["code"],
            "TASK_NOT_FOUND"
        );
        offer_tls(cluster).await;

        let stage = Stage::builder().on(cluster).await;
        assert_eq!(
            stage.tool("task_status", unknown.clone()).await["error"]["code"],
            "DATABASE_UNAVAILABLE"
        );
        let health = stage.get("/healthcheck?deep=1").await;
        let causes = stage.log_of(&health).await["causes"].to_string();
        assert!(
            causes.contains("sslmode=disable") && !causes.contains("planexe:planexe"),
            "{causes}"
        );
        assert_eq!(
            health.json()["database"],
            "offers TLS with a certificate that is not trusted"
        );

        let address = format!("{}?sslmode=disable", cluster.url(&stage.database));
        let stage = Stage::builder()
            .set("SPIN_VARIABLE_SQLALCHEMY_DATABASE_URI", &address)
            .on(cluster)
            .await;
        assert_eq!(
            stage.tool("task_status", unknown).await["error"]["code"],
            "TASK_NOT_FOUND"
        );
    });
}
