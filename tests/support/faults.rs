//! What goes wrong on purpose: a Postgres of the test's own, and a link to it that delays, cuts and throttles.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use planexe_local::cluster::{Cluster, ClusterOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

use super::project;

/// Starts a Postgres that only this test knows. It ends with the test binary.
pub async fn own_cluster(settings: &[(&str, &str)]) -> &'static Cluster {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, SeqCst);
    let folder = project().join(format!("target/test-postgres-own-{number}"));
    // Commits are written when they are said to be: servers are killed here. That they reach the disk matters only to
    // machines that lose power.
    let fast = [("fsync", "off")];
    let settings = fast.iter().chain(settings);
    let settings = settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let options = ClusterOptions {
        fresh: true,
        settings,
        port: None,
    };
    Box::leak(Box::new(Cluster::start(&folder, options).await.expect("Postgres")))
}

/// A TCP link to a port on this machine.
#[derive(Clone)]
pub struct Link(Arc<State>);

struct State {
    port: u16,
    target: u16,
    /// Milliseconds that each piece waits, both ways.
    delay: AtomicU64,
    /// Bytes that a piece may have, which with a delay makes a slow link.
    piece: AtomicUsize,
    /// Bytes of answers after which every connection is cut; `usize::MAX` for never.
    cut_after: AtomicUsize,
    /// How often a connection has been cut after that.
    cuts: AtomicUsize,
    /// Raised to cut all connections now.
    generation: watch::Sender<u64>,
}

impl Link {
    /// A link that does no harm yet.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let link = Self(Arc::new(State {
            port: listener.local_addr().expect("an address").port(),
            target,
            delay: AtomicU64::new(0),
            piece: AtomicUsize::new(16 * 1024),
            cut_after: AtomicUsize::new(usize::MAX),
            cuts: AtomicUsize::new(0),
            generation: watch::Sender::new(0),
        }));
        let state = Arc::clone(&link.0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connect(stream, Arc::clone(&state)));
            }
        });
        link
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Makes each piece wait.
    pub fn delay(&self, time: Duration) {
        self.0
            .delay
            .store(time.as_millis().try_into().expect("a short time"), SeqCst);
    }

    /// Limits the size of pieces.
    pub fn throttle(&self, piece: usize) {
        self.0.piece.store(piece, SeqCst);
    }

    /// Cuts every connection that exists now.
    pub fn cut(&self) {
        self.0.generation.send_modify(|generation| *generation += 1);
    }

    /// Lets requests through and cuts connections when more than so many bytes of answers have passed on one.
    pub fn cut_after(&self, bytes: usize) {
        self.0.cut_after.store(bytes, SeqCst);
    }

    /// How many connections `cut_after` has cut.
    pub fn cuts(&self) -> usize {
        self.0.cuts.load(SeqCst)
    }

    /// Does no more harm.
    pub fn heal(&self) {
        self.delay(Duration::ZERO);
        self.throttle(16 * 1024);
        self.cut_after(usize::MAX);
    }
}

async fn connect(client: TcpStream, state: Arc<State>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", state.target)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut generation = state.generation.subscribe();
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    tokio::select! {
        _ = generation.changed() => {}
        done = pump(client_in, server_out, &state, false) => done?,
        done = pump(server_in, client_out, &state, true) => done?,
    }
    Ok(())
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, answers: bool) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    loop {
        let piece = state.piece.load(SeqCst).min(buffer.len());
        let read = from.read(&mut buffer[..piece]).await?;
        if read == 0 {
            return Ok(());
        }
        let delay = state.delay.load(SeqCst);
        if delay > 0 {
            sleep(Duration::from_millis(delay)).await;
        }
        passed += read;
        if answers && passed > state.cut_after.load(SeqCst) {
            state.cuts.fetch_add(1, SeqCst);
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
