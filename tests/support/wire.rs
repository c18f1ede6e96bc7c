//! What goes over the wire: a server that answers with the same bytes to everything, and a proxy that counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A `worker_plan` that answers everything with the same archive.
pub struct FixedWorker {
    /// Its address.
    pub url: String,
    zip: Arc<Mutex<Arc<Vec<u8>>>>,
}

impl FixedWorker {
    /// Without an archive yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let zip = Arc::new(Mutex::new(Arc::new(Vec::new())));
        let served = Arc::clone(&zip);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let zip: Arc<Vec<u8>> = Arc::clone(&served.lock().expect("the archive"));
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    let _ = stream.read(&mut request).await;
                    let length = zip.len();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&zip).await;
                    let _ = stream.shutdown().await;
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

/// Passes connections on, and counts what comes back.
pub struct Counting {
    /// Where it listens.
    pub port: u16,
    received: Arc<AtomicU64>,
}

impl Counting {
    /// A proxy in front of a port of this machine.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))
                    .await
                    .expect("the server");
                tokio::spawn(pass(client, server, Arc::clone(&counter)));
            }
        });
        Self {
            port: address.port(),
            received,
        }
    }

    /// Bytes that the server has sent so far.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

async fn pass(client: TcpStream, server: TcpStream, counter: Arc<AtomicU64>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
        counter.fetch_add(length as u64, Ordering::Relaxed);
        if to_client.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
