//! The loop: whatever is ready is read, and what is due is answered.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use super::arguments::Arguments;
use super::connection::Connection;
use super::counts::{Counts, clock};
use super::routes::{self, Route};

const LISTENER: Token = Token(usize::MAX);
const BUFFER_BYTES: usize = 64 << 10;

/// A server that listens.
pub struct Server {
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    latency: Duration,
    answer: Rc<[u8]>,
    answers: u64,
    /// By token; one that is gone leaves its place.
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// When which connection is answered. All wait equally long, so that the first is due first.
    due: VecDeque<(Instant, usize)>,
    counts: Counts,
}

impl Server {
    pub fn bind(arguments: &Arguments) -> io::Result<Self> {
        let mut listener = TcpListener::bind(arguments.listen)?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            address: listener.local_addr()?,
            listener,
            latency: Duration::from_millis(arguments.latency_ms),
            answer: routes::completion(arguments.answer_bytes),
            answers: arguments.answers,
            connections: Vec::new(),
            free: Vec::new(),
            due: VecDeque::new(),
            counts: Counts::default(),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for ever.
    pub fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let wait = self
                .due
                .front()
                .map(|(due, _)| due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => panic!("epoll: {error}"),
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    Token(number) => {
                        if event.is_writable() {
                            self.with(number, |connection, _| connection.write());
                        }
                        if event.is_readable() || event.is_read_closed() {
                            self.read(number, now, &mut buffer);
                        }
                        self.remove_if_closed(number);
                    }
                }
            }
            self.answer_what_is_due(now);
        }
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            // Without it, a small answer may wait for the client's acknowledgement of the one before.
            stream.set_nodelay(true).unwrap();
            let number = self.free.pop().unwrap_or(self.connections.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(number), interest)
                .unwrap();
            let connection = Some(Connection::new(stream));
            if number == self.connections.len() {
                self.connections.push(connection);
            } else {
                self.connections[number] = connection;
            }
            self.counts.connections += 1;
        }
    }

    fn with(&mut self, number: usize, act: impl FnOnce(&mut Connection, &mut Counts)) {
        if let Some(Some(connection)) = self.connections.get_mut(number) {
            act(connection, &mut self.counts);
        }
    }

    fn read(&mut self, number: usize, now: Instant, buffer: &mut [u8]) {
        let Some(Some(connection)) = self.connections.get_mut(number) else {
            return;
        };
        let (counts, due, latency, answer) = (&mut self.counts, &mut self.due, self.latency, &self.answer);
        let answers = self.answers;
        connection.read(buffer, |connection, route| {
            if route != Route::Row {
                return connection.answer(routes::other(route, &counts.to_json()));
            }
            counts.receive(clock());
            if counts.received > answers {
                return;
            }
            if latency.is_zero() {
                connection.answer(Rc::clone(answer));
                counts.answer(clock());
            } else {
                due.push_back((now + latency, number));
            }
        });
    }

    fn answer_what_is_due(&mut self, now: Instant) {
        while let Some((_, number)) = self.due.pop_front_if(|(due, _)| *due <= now) {
            let answer = Rc::clone(&self.answer);
            // One that is gone by now was given up by its client, and the answer is none.
            self.with(number, |connection, counts| {
                connection.answer(answer);
                counts.answer(clock());
            });
            self.remove_if_closed(number);
        }
    }

    fn remove_if_closed(&mut self, number: usize) {
        let Some(connection) = self.connections.get_mut(number).and_then(Option::as_mut) else {
            return;
        };
        if connection.closed {
            let _ = self.poll.registry().deregister(connection.stream());
            self.connections[number] = None;
            // A row of its that is still due must not be answered to another client.
            if !self.due.iter().any(|(_, waiting)| *waiting == number) {
                self.free.push(number);
            }
        }
    }
}
