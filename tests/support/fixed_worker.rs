//! A `worker_plan` that answers every request with the same archive.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// The server. It ends with the test binary.
pub struct FixedWorker {
    /// Its address.
    pub url: String,
    zip: Arc<Mutex<Arc<Vec<u8>>>>,
}

impl FixedWorker {
    /// Starts it, without an archive yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let zip = Arc::new(Mutex::new(Arc::new(Vec::new())));
        let served = Arc::clone(&zip);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let zip: Arc<Vec<u8>> = Arc::clone(&served.lock().expect("the archive"));
                tokio::spawn(async move {
                    // The component may have read enough before the end.
                    _ = stream.read(&mut [0; 4096]).await;
                    let length = zip.len();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    _ = stream.write_all(head.as_bytes()).await;
                    _ = stream.write_all(&zip).await;
                    _ = stream.shutdown().await;
                });
            }
        });
        Self {
            url: format!("http://{address}"),
            zip,
        }
    }

    /// From now on this is the archive.
    pub fn put(&self, zip: Vec<u8>) {
        *self.zip.lock().expect("the archive") = Arc::new(zip);
    }
}
