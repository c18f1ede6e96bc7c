//! TLS to Postgres, as Spin does it: asked for by default, and then verified.

use std::{
    fs::{Permissions, create_dir_all, set_permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::PathBuf,
    process::Command,
};

use serde_json::json;

use crate::support::{Stage, cluster, own_cluster, project, run};

/// Makes a certificate that no machine trusts, as Debian's Postgres has one, and its key; both are the server's.
async fn certificate() -> [PathBuf; 2] {
    let folder = project().join("target/test-tls");
    create_dir_all(&folder).expect("a folder");
    let made = Command::new("openssl")
        .args(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout key.pem -out certificate.pem"
                .split(' '),
        )
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .current_dir(&folder)
        .output()
        .expect("openssl, which makes the certificate");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let owner = cluster().await.data().metadata().expect("the account of the server");
    ["certificate.pem", "key.pem"].map(|file| {
        let file = folder.join(file);
        chown(&file, Some(owner.uid()), Some(owner.gid())).expect("an owner");
        set_permissions(&file, Permissions::from_mode(0o600)).expect("permissions");
        file
    })
}

#[test]
fn a_certificate_that_is_not_trusted_is_named_with_what_to_do() {
    run(async {
        let [certificate, key] = certificate().await.map(|file| file.display().to_string());
        let settings = [("ssl", "on"), ("ssl_cert_file", &certificate), ("ssl_key_file", &key)];
        let cluster = own_cluster(&settings).await;
        let stage = Stage::builder().on(cluster).await;
        let unknown = json!({ "task_id": "5e2b2a7c-8b49-4d2f-9b8f-6a3c1f05b9a1" });
        let answer = stage.tool("task_status", unknown.clone()).await;
        assert_eq!(answer["error"]["code"], "DATABASE_UNAVAILABLE");
        let health = stage.get("/healthcheck?deep=1").await;
        assert_eq!(
            health.json()["database"],
            "offers TLS with a certificate that is not trusted"
        );
        let causes = stage.log_of(&health).await["causes"].to_string();
        assert!(
            causes.contains("sslmode=disable") && !causes.contains("planexe:planexe"),
            "{causes}"
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
