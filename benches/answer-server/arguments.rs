//! What can be set.

use std::net::SocketAddr;

use clap::Parser;

/// A lean model server to measure against.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Milliseconds from a request's last byte to its answer.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    /// Bytes of an answer's body, at least 500.
    #[arg(long, default_value_t = 650)]
    pub answer_bytes: usize,
    /// Answers to give; requests after them are taken and kept waiting for ever.
    #[arg(long, default_value_t = u64::MAX)]
    pub answers: u64,
    /// End when standard input ends, so that it never outlives the program that started it.
    #[arg(long)]
    pub until_input_ends: bool,
}
