//! The little of HTTP/1.1 that a proxy needs: one request on each connection, whose body has a known length.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LONGEST_HEAD: usize = 64 << 10;

/// A request, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Path and query: `/BUCKET/KEY`, or `/BUCKET?list-type=2&...`.
    pub target: String,
    /// Whether it is to be done only if there is no such object.
    pub only_if_new: bool,
    pub(super) head: Vec<u8>,
    /// What came of the body with the head.
    pub(super) begun: Vec<u8>,
    pub(super) length: usize,
}

impl Request {
    /// A header's value, by its name in any case.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        let mut headers = head.lines().filter_map(|line| line.split_once(':'));
        let header = headers.find(|(other, _)| other.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.trim().to_owned())
    }
}

/// Reads the head of a request; none when the connection ends before.
pub(super) async fn read_head(stream: &mut TcpStream) -> io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let begun = bytes.split_off(end + 4);
            return Ok(Some(parse(bytes, begun)));
        }
        assert!(bytes.len() < LONGEST_HEAD, "a request without an end of its head");
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse(head: Vec<u8>, begun: Vec<u8>) -> Request {
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let value = |name: &str| headers.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
    assert_eq!(
        value("transfer-encoding"),
        None,
        "bodies without a known length are not read here"
    );
    Request {
        method,
        target,
        only_if_new: value("if-none-match") == Some("*"),
        length: value("content-length").map_or(0, |length| length.parse().unwrap()),
        head,
        begun,
    }
}

impl Request {
    /// The path of its object.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Where what it asks for begins in its object.
    pub(super) fn first_byte(&self) -> u64 {
        let range = self.header("range").unwrap_or_default();
        let first = range.strip_prefix("bytes=").and_then(|range| range.split('-').next());
        first.and_then(|first| first.parse().ok()).unwrap_or_default()
    }

    /// Reads its body, up to so many bytes of it.
    pub(super) async fn read_body(&self, stream: &mut TcpStream, limit: usize) -> io::Result<Vec<u8>> {
        let wanted = self.length.min(limit);
        let mut body = self.begun.clone();
        while body.len() < wanted {
            if stream.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(body)
    }

    /// Sends it on, and takes the whole answer.
    pub(super) async fn ask(&self, body: &[u8], upstream: &mut TcpStream) -> io::Result<Vec<u8>> {
        let head = &self.head[..self.head.len() - b"\r\n".len()];
        upstream.write_all(head).await?;
        upstream.write_all(b"Connection: close\r\n\r\n").await?;
        upstream.write_all(body).await?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}
