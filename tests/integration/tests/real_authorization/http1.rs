//! HTTP/1.1 to the byte: no client library writes the requests that are wanted here.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::requests::Request;

/// A status, and whether the connection may be used again.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) reusable: bool,
}

pub(crate) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &Request,
    probe: u64,
) -> io::Result<Reply> {
    stream.write_all(&head(request, probe)).await?;
    stream.flush().await?;
    let mut buffer = Vec::new();
    let end = loop {
        if let Some(end) = find(&buffer, b"\r\n\r\n") {
            break end;
        }
        more(stream, &mut buffer).await?;
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    let mut body = buffer.split_off(end + 4);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or(ErrorKind::InvalidData)?;
    let has = |what: &str| head.lines().any(|line| line == what);
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    if request.method == "HEAD" || matches!(status, 204 | 304) {
        // No body, whatever the headers say.
    } else if has("transfer-encoding: chunked") {
        while !body.ends_with(b"0\r\n\r\n") {
            more(stream, &mut body).await?;
        }
    } else if let Some(length) = length {
        let length: usize = length.parse().map_err(|_invalid| ErrorKind::InvalidData)?;
        while body.len() < length {
            more(stream, &mut body).await?;
        }
    }
    Ok(Reply {
        status,
        reusable: !has("connection: close"),
    })
}

fn head(request: &Request, probe: u64) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend_from_slice(request.method.as_bytes());
    head.push(b' ');
    head.extend_from_slice(request.target.as_bytes());
    head.extend_from_slice(b" HTTP/1.1\r\n");
    let length = ("content-length".to_owned(), "0".to_owned());
    let own = [
        ("host".to_owned(), "lab".to_owned()),
        ("x-probe".to_owned(), probe.to_string()),
    ];
    // A method that wants a body and says nothing of one is a fault of its own.
    let length = (!matches!(request.method, "GET" | "HEAD")).then_some(length);
    for (name, value) in own.iter().chain(&length).chain(&request.headers) {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

async fn more(stream: &mut (impl AsyncRead + Unpin), to: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(to).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
