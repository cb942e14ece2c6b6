//! One client.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;

use mio::net::TcpStream;

use super::routes::Route;

const MOST_HEADERS: usize = 32;

/// A connection, and how far its next request and answer are.
pub struct Connection {
    stream: TcpStream,
    /// The part of a request's head that has come.
    head: Vec<u8>,
    /// Of the request whose head is complete: where it goes, and the bytes of its body that are to come.
    body: Option<(Route, u64)>,
    /// Answers to write, and how much of the first is written.
    answers: VecDeque<Rc<[u8]>>,
    written: usize,
    pub closed: bool,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            head: Vec::new(),
            body: None,
            answers: VecDeque::new(),
            written: 0,
            closed: false,
        }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads what is there, and gives each request that is complete. `buffer` is only used meanwhile.
    pub fn read(&mut self, buffer: &mut [u8], mut request: impl FnMut(&mut Self, Route)) {
        while !self.closed {
            match self.stream.read(buffer) {
                Ok(0) => self.closed = true,
                Ok(length) => {
                    self.take(&buffer[..length], &mut request);
                    // Less than was asked for: nothing is left, and more will be a new event (epoll(7), question 9).
                    if length < buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
    }

    /// Writes an answer, or as much of it as the client takes now.
    pub fn answer(&mut self, answer: Rc<[u8]>) {
        self.answers.push_back(answer);
        self.write();
    }

    /// Goes on writing.
    pub fn write(&mut self) {
        while let Some(answer) = self.answers.front() {
            match self.stream.write(&answer[self.written..]) {
                Ok(length) if self.written + length == answer.len() => {
                    self.answers.pop_front();
                    self.written = 0;
                }
                Ok(length) => self.written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], request: &mut impl FnMut(&mut Self, Route)) {
        while !bytes.is_empty() && !self.closed {
            let (route, missing) = match self.body.take() {
                Some(body) => body,
                None => match self.take_head(&mut bytes) {
                    Some(body) => body,
                    None => return,
                },
            };
            let taken = bytes.len().min(usize::try_from(missing).unwrap_or(usize::MAX));
            bytes = &bytes[taken..];
            match missing - taken as u64 {
                0 => request(self, route),
                missing => self.body = Some((route, missing)),
            }
        }
    }

    /// Takes the head off `bytes` when it is complete, and gives what it says.
    fn take_head(&mut self, bytes: &mut &[u8]) -> Option<(Route, u64)> {
        if self.head.is_empty()
            && let Some((length, head)) = self.parse(bytes)
        {
            *bytes = &bytes[length..];
            return Some(head);
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let head = std::mem::take(&mut self.head);
        let Some((length, parsed)) = self.parse(&head) else {
            self.head = head;
            *bytes = &[];
            return None;
        };
        *bytes = &bytes[length - before..];
        Some(parsed)
    }

    fn parse(&mut self, bytes: &[u8]) -> Option<(usize, (Route, u64))> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return None,
            Err(error) => {
                eprintln!("a request is not HTTP/1.1: {error}");
                self.closed = true;
                return None;
            }
        };
        let route = Route::of(head.method.unwrap_or_default(), head.path.unwrap_or_default());
        let body = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let body = body.map_or(Some(0), |header| {
            std::str::from_utf8(header.value).ok()?.trim().parse().ok()
        });
        let chunked = head
            .headers
            .iter()
            .any(|header| header.name.eq_ignore_ascii_case("transfer-encoding"));
        let Some(body) = body.filter(|_| !chunked) else {
            eprintln!("a request's body has no plain Content-Length");
            self.closed = true;
            return None;
        };
        Some((length, (route, body)))
    }
}
