use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::RawAnswer;

/// A connection on which requests of HTTP/1.1 are sent one by one.
#[derive(Debug)]
pub struct H1<S> {
    stream: BufReader<S>,
    open: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> H1<S> {
    /// On a connection on which nothing was said yet.
    pub fn new(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
            open: true,
        }
    }

    /// Whether a further request can be sent.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends these bytes and reads one answer. `None` if the connection was ended without one.
    ///
    /// # Errors
    /// If what came is no answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Option<RawAnswer>> {
        self.open = false;
        // Who has refused the beginning need not read the rest.
        let _ = self.stream.write_all(request).await;
        let _ = self.stream.flush().await;
        let mut line = String::new();
        if !matches!(self.stream.read_line(&mut line).await, Ok(1..)) {
            return Ok(None);
        }
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = RawAnswer {
            status: status.ok_or_else(|| invalid(&line))?,
            ..RawAnswer::default()
        };
        let (mut length, mut chunked, mut close) = (None, false, false);
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(invalid("the head has no end"));
            }
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok(),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "connection" => close = value.eq_ignore_ascii_case("close"),
                "location" => answer.location = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = Vec::new();
        match length {
            Some(length) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body).await?;
            }
            None if chunked => return Err(invalid("a body in chunks")),
            None => {
                close = true;
                self.stream.read_to_end(&mut body).await?;
            }
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        self.open = !close;
        Ok(Some(answer))
    }
}
