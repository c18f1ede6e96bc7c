//! Lines in and lines out: the framing of MCP's stdio transport. Knows no JSON.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

/// The longest line that is read, in bytes. The component's own bound for a message is lower.
pub(super) const LONGEST: usize = 4 << 20;

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It is longer than [`LONGEST`] and has been read past.
    TooLong,
}

/// The lines of an input.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    too_long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: BufReader::new(input),
            line: Vec::new(),
            too_long: false,
        }
    }

    /// The next line, the last one also without its end; `None` at the end of the input. Blank lines are passed over.
    /// Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.input.fill_buf().await?;
            let is_end = bytes.is_empty();
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(bytes.len());
            if self.line.len() + taken > LONGEST {
                self.too_long = true;
            }
            if self.too_long {
                self.line.clear();
            } else {
                self.line.extend(bytes.iter().take(taken));
            }
            self.input.consume(taken + usize::from(end.is_some()));
            if end.is_none() && !is_end {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if std::mem::take(&mut self.too_long) {
                return Ok(Some(Line::TooLong));
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Line::Bytes(line)));
            }
            if is_end {
                return Ok(None);
            }
        }
    }
}

/// In place of a message: the last one has been sent.
pub(super) const END: &str = "";

/// Writes messages as lines up to [`END`].
///
/// # Errors
/// When nobody reads any more.
pub(super) async fn write(mut output: impl AsyncWrite + Unpin, mut messages: mpsc::Receiver<String>) -> io::Result<()> {
    while let Some(message) = messages.recv().await.filter(|message| message != END) {
        // JSON has line breaks between its tokens only.
        let mut line = message.replace(['\n', '\r'], " ");
        line.push('\n');
        output.write_all(line.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut input: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(&mut input);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            read.push(line);
        }
        read
    }

    #[tokio::test]
    async fn lines_end_at_line_feeds_and_at_the_end() {
        let bytes = |text: &str| Line::Bytes(text.as_bytes().to_vec());
        assert_eq!(
            read(b"one\r\n\n  \ntwo\nlast").await,
            [bytes("one\r"), bytes("two"), bytes("last")]
        );
        assert_eq!(read(b"").await, []);
        assert_eq!(read(b"\n\n").await, []);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
        let mut input = vec![b'x'; LONGEST + 1];
        input.extend_from_slice(b"\nnext\n");
        assert_eq!(read(&input).await, [Line::TooLong, Line::Bytes(b"next".to_vec())]);
        assert_eq!(read(&vec![b'x'; LONGEST]).await, [Line::Bytes(vec![b'x'; LONGEST])]);
        assert_eq!(read(&vec![b'x'; 2 * LONGEST]).await, [Line::TooLong]);
    }

    #[tokio::test]
    async fn a_message_is_one_line() {
        let (sender, receiver) = mpsc::channel(4);
        sender.send("{\n \"a\": \"b\\nc\"\r\n}".to_owned()).await.unwrap();
        sender.send(END.to_owned()).await.unwrap();
        let mut written = Vec::new();
        write(&mut written, receiver).await.unwrap();
        assert_eq!(written, b"{  \"a\": \"b\\nc\"  }\n");
    }
}
