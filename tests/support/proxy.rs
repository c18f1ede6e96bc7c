//! A TCP proxy that counts bytes, delays, throttles and cuts.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
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
#[derive(Clone, Copy)]
pub struct Proxy(&'static State);

struct State {
    port: u16,
    faults: watch::Sender<Faults>,
    received: AtomicU64,
}

/// What the proxy does to connections.
#[derive(Clone, Copy)]
pub struct Faults {
    /// How long each piece waits, both ways.
    pub delay: Duration,
    /// The largest piece in bytes: with a delay, it makes a slow connection.
    pub piece: usize,
    /// Bytes of answers after which a connection is cut.
    pub cut_after: usize,
    /// Counted up to cut the connections that exist.
    pub generation: u32,
}

impl Faults {
    /// Nothing.
    pub const NONE: Self = Self {
        delay: Duration::ZERO,
        piece: 16 * 1024,
        cut_after: usize::MAX,
        generation: 0,
    };
}

impl Proxy {
    /// A proxy without faults yet.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let state: &'static State = Box::leak(Box::new(State {
            port: listener.local_addr().expect("an address").port(),
            faults: watch::Sender::new(Faults::NONE),
            received: AtomicU64::new(0),
        }));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connect(stream, target, state));
            }
        });
        Self(state)
    }

    /// The port to connect to, as a setting has it.
    pub fn port(&self) -> String {
        self.0.port.to_string()
    }

    /// From now on the proxy does this.
    pub fn inject(&self, faults: Faults) {
        self.0.faults.send_modify(|current| {
            *current = Faults {
                generation: current.generation,
                ..faults
            };
        });
    }

    /// Cuts every connection that exists now.
    pub fn cut(&self) {
        self.0.faults.send_modify(|faults| faults.generation += 1);
    }

    /// Bytes of answers so far.
    pub fn received(&self) -> u64 {
        self.0.received.load(Relaxed)
    }
}

async fn connect(client: TcpStream, target: u16, state: &State) -> io::Result<()> {
    let mut faults = state.faults.subscribe();
    let generation = faults.borrow().generation;
    let server = TcpStream::connect(("127.0.0.1", target)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    tokio::select! {
        _ = faults.wait_for(|faults| faults.generation != generation) => Ok(()),
        done = pump(client_in, server_out, state, false) => done,
        done = pump(server_in, client_out, state, true) => done,
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, answers: bool) -> io::Result<()> {
    let mut buffer = vec![0; Faults::NONE.piece];
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
                return Ok(());
            }
        }
        to.write_all(&buffer[..read]).await?;
    }
}
