//! The host behind a socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use planexe_local::server::Server;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Tested, eventually, tested};

struct Running {
    address: SocketAddr,
    tested: Tested,
    stop: oneshot::Sender<()>,
    served: JoinHandle<anyhow::Result<()>>,
}

async fn running() -> Running {
    running_with_grace(Duration::from_secs(5)).await
}

async fn running_with_grace(grace: Duration) -> Running {
    let tested = tested();
    let server = Server::bind(([127, 0, 0, 1], 0).into())
        .await
        .unwrap()
        .with_grace(grace);
    let address = server.local_addr();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(server.serve(tested.host.clone(), async { _ = stopped.await }));
    Running {
        address,
        tested,
        stop,
        served,
    }
}

impl Running {
    async fn connect(&self) -> BufReader<TcpStream> {
        BufReader::new(TcpStream::connect(self.address).await.unwrap())
    }
}

async fn send(stream: &mut BufReader<TcpStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// The head of an answer.
async fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).await.unwrap() > 0, "{head}");
    }
    head.to_ascii_lowercase()
}

async fn rest(mut stream: BufReader<TcpStream>) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    rest
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let running = running().await;
    let mut stream = running.connect().await;
    let started = Instant::now();
    for _ in 0..50 {
        send(&mut stream, "GET /plain HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let head = head(&mut stream).await;
        assert!(
            head.starts_with("http/1.1 200 ok") && head.contains("transfer-encoding: chunked"),
            "{head}"
        );
        let mut body = String::new();
        while !body.ends_with("0\r\n\r\n") {
            stream.read_line(&mut body).await.unwrap();
        }
        assert_eq!(body, "5\r\nplain\r\n0\r\n\r\n");
    }
    // A delayed acknowledgement would cost 40 ms for each answer.
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(running.tested.stats().requests, 50);
}

#[tokio::test]
async fn the_clients_address_and_host() {
    let running = running().await;
    let mut stream = running.connect().await;
    let client = stream.get_ref().local_addr().unwrap();
    send(
        &mut stream,
        "GET /headers HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n",
    )
    .await;
    let answer = rest(stream).await;
    for part in [
        "GET http://example.org/headers".to_owned(),
        "host: example.org".to_owned(),
        format!("spin-client-addr: {client}"),
    ] {
        assert!(answer.contains(&part), "{answer}");
    }
    assert!(!answer.contains("\nconnection: close\n"), "{answer}");
}

#[tokio::test]
async fn without_host_the_connection_is_closed() {
    let running = running().await;
    let mut stream = running.connect().await;
    send(&mut stream, "GET /plain HTTP/1.0\r\n\r\n").await;
    assert_eq!(rest(stream).await, "");
}

#[tokio::test]
async fn an_upload_that_is_cut_off() {
    let running = running().await;
    let mut stream = running.connect().await;
    send(
        &mut stream,
        "POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    eventually("the guest's body fails", || {
        running.tested.stderr().contains("body failed after 3")
    })
    .await;
}

#[tokio::test]
async fn a_slow_upload() {
    let running = running().await;
    let mut stream = running.connect().await;
    send(
        &mut stream,
        "POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\nconnection: close\r\n\r\n",
    )
    .await;
    for piece in ["ab", "cd", "ef"] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        send(&mut stream, piece).await;
    }
    assert!(rest(stream).await.contains("\r\n6\r\n"));
}

#[tokio::test]
async fn a_download_that_is_cut_off() {
    let running = running().await;
    let mut stream = running.connect().await;
    send(
        &mut stream,
        "GET /stream HTTP/1.1\r\nhost: x\r\ncount: 1000\r\nms: 5\r\n\r\n",
    )
    .await;
    head(&mut stream).await;
    drop(stream);
    eventually("the guest's writes fail", || {
        running.tested.stderr().contains("reader gone")
    })
    .await;
}

#[tokio::test]
async fn a_trap_within_a_chunked_body_is_a_clean_end() {
    let running = running().await;
    let mut stream = running.connect().await;
    send(
        &mut stream,
        "GET /trap-later HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    let answer = rest(stream).await;
    assert!(
        answer.ends_with("2\n2\n\r\n0\r\n\r\n") || answer.ends_with("0\r\n\r\n"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_trap_within_a_declared_length_is_noticed() {
    let running = running().await;
    let mut stream = running.connect().await;
    send(
        &mut stream,
        "GET /trap-later HTTP/1.1\r\nhost: x\r\ndeclare: 20\r\n\r\n",
    )
    .await;
    let head = head(&mut stream).await;
    assert!(head.contains("content-length: 20"), "{head}");
    // The connection ends before the length is reached.
    assert_eq!(rest(stream).await, "0\n1\n2\n");
}

#[tokio::test]
async fn a_busy_port_is_recognised() {
    let running = running().await;
    let error = Server::bind(running.address).await.err().unwrap();
    let cause = error
        .downcast_ref::<std::io::Error>()
        .or_else(|| error.root_cause().downcast_ref())
        .unwrap();
    assert_eq!(cause.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_shutdown_lets_requests_finish() {
    let running = running().await;
    let mut idle = running.connect().await;
    send(&mut idle, "GET /plain HTTP/1.1\r\nhost: x\r\n\r\n").await;
    head(&mut idle).await;
    let mut busy = running.connect().await;
    send(&mut busy, "GET /sleep HTTP/1.1\r\nhost: x\r\nms: 300\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (address, started) = (running.address, Instant::now());
    running.stop.send(()).unwrap();
    let answer = rest(busy).await;
    assert!(answer.contains("slept"), "{answer}");
    running.served.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let running = running_with_grace(Duration::from_millis(200)).await;
    let mut stream = running.connect().await;
    send(&mut stream, "GET /sleep HTTP/1.1\r\nhost: x\r\nms: 60000\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    running.stop.send(()).unwrap();
    running.served.await.unwrap().unwrap();
    assert!(
        (200..3000).contains(&started.elapsed().as_millis()),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(rest(stream).await, "");
}
