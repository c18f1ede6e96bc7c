//! A TCP proxy that counts bytes, delays, throttles and cuts.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// A proxy in front of a port of this machine. It ends with the test binary.
#[derive(Clone)]
pub struct Proxy(Arc<State>);

struct State {
    port: u16,
    faults: watch::Sender<Faults>,
    received: AtomicU64,
    cuts: AtomicUsize,
}

/// What the proxy does to the connections.
#[derive(Clone, Copy)]
struct Faults {
    /// How long each piece waits, both ways.
    delay: Duration,
    /// The largest piece in bytes: with a delay, it makes a slow connection.
    piece: usize,
    /// Bytes of answers after which a connection is cut.
    cut_after: usize,
    /// Counted up to cut the connections that exist.
    generation: u32,
}

const NO_FAULTS: Faults = Faults {
    delay: Duration::ZERO,
    piece: 16 * 1024,
    cut_after: usize::MAX,
    generation: 0,
};

impl Proxy {
    /// A proxy without faults yet.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Self(Arc::new(State {
            port: listener.local_addr().expect("an address").port(),
            faults: watch::Sender::new(NO_FAULTS),
            received: AtomicU64::new(0),
            cuts: AtomicUsize::new(0),
        }));
        let state = Arc::clone(&proxy.0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connect(stream, target, Arc::clone(&state)));
            }
        });
        proxy
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Makes each piece wait.
    pub fn delay(&self, time: Duration) {
        self.0.faults.send_modify(|faults| faults.delay = time);
    }

    /// Limits the size of pieces.
    pub fn throttle(&self, piece: usize) {
        self.0.faults.send_modify(|faults| faults.piece = piece);
    }

    /// Cuts every connection that exists now.
    pub fn cut(&self) {
        self.0.faults.send_modify(|faults| faults.generation += 1);
    }

    /// Lets requests through and cuts connections when more than so many bytes of answers have passed on one.
    pub fn cut_after(&self, bytes: usize) {
        self.0.faults.send_modify(|faults| faults.cut_after = bytes);
    }

    /// Ends delays, throttling and cuts.
    pub fn restore(&self) {
        let modify = |faults: &mut Faults| {
            *faults = Faults {
                generation: faults.generation,
                ..NO_FAULTS
            };
        };
        self.0.faults.send_modify(modify);
    }

    /// How many connections [`Proxy::cut_after`] has cut.
    pub fn cuts(&self) -> usize {
        self.0.cuts.load(Relaxed)
    }

    /// Bytes of answers so far.
    pub fn received(&self) -> u64 {
        self.0.received.load(Relaxed)
    }
}

async fn connect(client: TcpStream, target: u16, state: Arc<State>) -> io::Result<()> {
    let mut faults = state.faults.subscribe();
    let generation = faults.borrow().generation;
    let server = TcpStream::connect(("127.0.0.1", target)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    tokio::select! {
        _ = faults.wait_for(|faults| faults.generation != generation) => Ok(()),
        done = pump(client_in, server_out, &state, false) => done,
        done = pump(server_in, client_out, &state, true) => done,
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, answers: bool) -> io::Result<()> {
    let mut buffer = vec![0; NO_FAULTS.piece];
    let mut passed = 0;
    loop {
        let piece = state.faults.borrow().piece;
        let read = from.read(&mut buffer[..piece]).await?;
        if read == 0 {
            return Ok(());
        }
        let Faults { delay, cut_after, .. } = *state.faults.borrow();
        if !delay.is_zero() {
            sleep(delay).await;
        }
        passed += read;
        if answers {
            state.received.fetch_add(read as u64, Relaxed);
            if passed > cut_after {
                state.cuts.fetch_add(1, Relaxed);
                return Ok(());
            }
        }
        to.write_all(&buffer[..read]).await?;
    }
}
