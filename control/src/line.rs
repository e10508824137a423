//! Lines of bounded length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Cuts a stream of bytes into lines, and never holds more than one line and a read.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    source: R,
    len_max: usize,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that hold no line feed.
    searched: usize,
    is_ended: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The end.
    End,
    /// A line, without its line feed.
    Text(Vec<u8>),
    /// More bytes than a line may have.
    TooLong,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    pub(crate) fn new(source: R, len_max: usize) -> Self {
        Self { source, len_max, buffer: Vec::new(), searched: 0, is_ended: false }
    }

    /// The next line. Nothing is lost if the future is dropped. After [`Line::TooLong`] the stream is of no more use.
    pub(crate) async fn next(&mut self) -> io::Result<Line> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let at = self.searched + at;
                if at > self.len_max {
                    return Ok(Line::TooLong);
                }
                let rest = self.buffer.split_off(at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.searched = 0;
                return Ok(Line::Text(line));
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > self.len_max {
                return Ok(Line::TooLong);
            }
            if self.is_ended {
                self.searched = 0;
                // The last line may lack its line feed.
                let line = std::mem::take(&mut self.buffer);
                return Ok(if line.is_empty() { Line::End } else { Line::Text(line) });
            }
            self.fill().await?;
        }
    }

    /// Resolves when the other side has ended, or when it has sent so much that it is not read on before
    /// [`next`](Self::next) is called; then it never resolves. Nothing is lost if the future is dropped.
    pub(crate) async fn ended(&mut self) {
        loop {
            if self.is_ended {
                return;
            }
            if self.buffer.len() > self.len_max {
                return std::future::pending().await;
            }
            if self.fill().await.is_err() {
                self.is_ended = true;
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(READ_LEN);
        self.is_ended = self.source.read_buf(&mut self.buffer).await? == 0;
        Ok(())
    }
}

/// Bytes read at once.
const READ_LEN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8], len_max: usize) -> Vec<Line> {
        let mut reader = LineReader::new(input, len_max);
        let mut lines = Vec::new();
        loop {
            let line = reader.next().await.unwrap();
            let is_last = !matches!(line, Line::Text(_));
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    #[tokio::test]
    async fn lines_have_a_limit() {
        let text = |text: &str| Line::Text(text.as_bytes().to_vec());
        assert_eq!(lines(b"", 4).await, [Line::End]);
        assert_eq!(
            lines(b"ab\n\nabcd\nx", 4).await,
            [text("ab"), text(""), text("abcd"), text("x"), Line::End]
        );
        assert_eq!(lines(b"ab\nabcde\n", 4).await, [text("ab"), Line::TooLong]);
        assert_eq!(lines(&[b'a'; 100_000], 4).await, [Line::TooLong]);
    }
}
