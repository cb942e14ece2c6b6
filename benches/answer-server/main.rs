//! A lean model server to measure against: every chat completion is answered with the same text after the same time.
//!
//! One thread, `epoll` through mio, HTTP/1.1 with keep-alive; request bodies are counted and thrown away. It has to be much
//! faster than what is measured with it: over 100,000 requests a second on one core, by wrk (`docs/benchmarks.md`).
//! `arguments` is what can be set, `connection` one client, `server` the loop, `routes` what is answered, `counts` what it knows
//! about its requests (`GET /counts`).
//!
//! Built by `cargo build --example answer-server`; says `listening on ADDRESS` when it is there.

#![expect(
    clippy::unwrap_used,
    reason = "a program of the benchmarks says what is wrong by panicking"
)]

mod arguments;
mod connection;
mod counts;
mod routes;
mod server;

use std::io::Read;

use clap::Parser;

use arguments::Arguments;
use server::Server;

fn main() {
    let arguments = Arguments::parse();
    if arguments.until_input_ends {
        std::thread::spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            std::process::exit(0);
        });
    }
    let mut server = Server::bind(&arguments).unwrap_or_else(|error| panic!("{}: {error}", arguments.listen));
    println!("listening on {}", server.address());
    server.run();
}
