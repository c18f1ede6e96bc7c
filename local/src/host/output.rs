//! Where the guest's standard output and error go, and the host's own words.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Where a guest's standard output or error goes.
#[derive(Clone, Debug, Default)]
pub enum Output {
    /// To that of this process, as it is.
    #[default]
    Inherit,
    /// To a buffer, which grows without limit.
    Capture(Arc<Mutex<Vec<u8>>>),
    /// Nowhere.
    Null,
}

impl Output {
    pub(crate) fn to_stdout_of(&self, wasi: &mut WasiCtxBuilder) {
        match self {
            Self::Inherit => _ = wasi.inherit_stdout(),
            Self::Capture(buffer) => _ = wasi.stdout(Captured(buffer.clone())),
            Self::Null => {}
        }
    }

    pub(crate) fn to_stderr_of(&self, wasi: &mut WasiCtxBuilder) {
        match self {
            Self::Inherit => _ = wasi.inherit_stderr(),
            Self::Capture(buffer) => _ = wasi.stderr(Captured(buffer.clone())),
            Self::Null => {}
        }
    }

    /// Writes a line of the host's own. A failure to write is nobody's concern.
    pub(crate) fn line(&self, text: &str) {
        match self {
            Self::Inherit => _ = writeln!(std::io::stderr(), "{text}"),
            Self::Capture(buffer) => append(buffer, format!("{text}\n").as_bytes()),
            Self::Null => {}
        }
    }
}

fn append(buffer: &Mutex<Vec<u8>>, bytes: &[u8]) {
    buffer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend_from_slice(bytes);
}

/// A stream into a buffer. It writes at once: a guest that traps right after a write loses nothing.
#[derive(Clone)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        append(&self.0, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(1 << 20)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Captured {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        append(&self.0, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
