//! As much of h2 (RFC 9113) and HPACK (RFC 7541) as it takes to send any header there is and read a status.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

use super::{
    RawAnswer,
    frame::{
        ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
        RST_STREAM, SETTINGS, frame,
    },
};

/// `SETTINGS_HEADER_TABLE_SIZE` 0: the peer remembers no header, so that each block can be read by itself.
const NO_TABLE: &[u8] = &[0, 1, 0, 0, 0, 0];

/// A connection on which requests of h2 are sent one by one, without bodies.
#[derive(Debug)]
pub struct H2<S> {
    stream: BufReader<S>,
    next: u32,
    open: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> H2<S> {
    /// Begins h2 on a connection on which nothing was said yet.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub async fn new(stream: S) -> io::Result<Self> {
        let mut stream = BufReader::new(stream);
        let opening = [PREFACE, &frame(SETTINGS, 0, 0, NO_TABLE)].concat();
        stream.write_all(&opening).await?;
        stream.flush().await?;
        Ok(Self {
            stream,
            next: 1,
            open: true,
        })
    }

    /// Whether a further request can be sent.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends a request of these headers, in this order, and reads its answer. `None` if the connection was ended without one.
    ///
    /// # Errors
    /// If what came is no answer.
    pub async fn ask(&mut self, headers: &[(&[u8], &[u8])]) -> io::Result<Option<RawAnswer>> {
        let id = self.next;
        self.next += 2;
        self.open = false;
        let mut block = Vec::new();
        for (name, value) in headers {
            block.push(0); // literal, without indexing
            string(&mut block, name);
            string(&mut block, value);
        }
        let request = frame(HEADERS, END_STREAM | END_HEADERS, id, &block);
        if self.write(&request).await.is_err() {
            return Ok(None);
        }
        let mut answer = RawAnswer::default();
        loop {
            let Some((kind, flags, stream, payload)) = self.read_frame().await? else {
                return Ok(None);
            };
            match kind {
                SETTINGS if flags & ACK == 0 => {
                    drop(self.write(&frame(SETTINGS, ACK, 0, &[])).await);
                }
                PING if flags & ACK == 0 => drop(self.write(&frame(PING, ACK, 0, &payload)).await),
                GOAWAY => {
                    // It takes no further request; this one may be among those it still answers.
                    self.next = u32::MAX;
                    let last = payload
                        .get(..4)
                        .map(|id| u32::from_be_bytes([id[0], id[1], id[2], id[3]]));
                    if last.is_none_or(|last| last < id) {
                        return Ok(None);
                    }
                }
                RST_STREAM if stream == id => break,
                HEADERS if stream == id => {
                    let block = unpadded(flags, &payload);
                    if answer.status == 0 {
                        answer.status = status(block).ok_or_else(|| {
                            io::Error::new(io::ErrorKind::InvalidData, format!("{block:02x?}"))
                        })?;
                    }
                }
                DATA if stream == id => {
                    let text = unpadded(flags, &payload);
                    answer.body.push_str(&String::from_utf8_lossy(text));
                }
                _ => {}
            }
            if stream == id && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                break;
            }
        }
        self.open = self.next < 1 << 20;
        Ok(Some(answer))
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// `None` at the end.
    async fn read_frame(&mut self) -> io::Result<Option<(u8, u8, u32, Vec<u8>)>> {
        let mut head = [0; 9];
        if self.stream.read_exact(&mut head).await.is_err() {
            return Ok(None);
        }
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        self.stream.read_exact(&mut payload).await?;
        Ok(Some((
            kind,
            flags,
            u32::from_be_bytes(id) & 0x7fff_ffff,
            payload,
        )))
    }
}

/// HPACK's string, not compressed.
fn string(block: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).expect("less than 127"));
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).expect("less than 128") | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).expect("less than 128"));
    }
    block.extend(text);
}

fn unpadded(flags: u8, payload: &[u8]) -> &[u8] {
    let (mut start, mut end) = (0, payload.len());
    if flags & PADDED != 0 {
        start += 1;
        end -= usize::from(payload[0]);
    }
    if flags & PRIORITY != 0 {
        start += 5;
    }
    &payload[start..end]
}

/// The status a block begins with.
fn status(block: &[u8]) -> Option<u16> {
    match *block {
        // A change of the table's size.
        [0x20..=0x3f, ref rest @ ..] => status(rest),
        [0x88, ..] => Some(200),
        [0x89, ..] => Some(204),
        [0x8a, ..] => Some(206),
        [0x8b, ..] => Some(304),
        [0x8c, ..] => Some(400),
        [0x8d, ..] => Some(404),
        [0x8e, ..] => Some(500),
        // Its name is indexed and its value is not.
        [
            0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e,
            length,
            ref rest @ ..,
        ] => {
            let value = rest.get(..usize::from(length & 0x7f))?;
            let digits = match length & 0x80 {
                0 => value.to_vec(),
                _ => huffman_digits(value),
            };
            std::str::from_utf8(&digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

/// Digits in HPACK's Huffman code: five bits up to 2, and six above.
fn huffman_digits(value: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = value
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let mut digits = Vec::new();
    let mut rest = &bits[..];
    while rest.len() >= 5 {
        let (digit, length) = match number(&rest[..5]) {
            short @ 0..=2 => (short, 5),
            _ if rest.len() < 6 => break,
            _ => match number(&rest[..6]) {
                long @ 0x19..=0x1f => (long - 0x19 + 3, 6),
                _ => break, // the padding
            },
        };
        digits.push(b'0' + digit);
        rest = &rest[length..];
    }
    digits
}
