//! The command line: what the one binary can be told to do.
//!
//! [`arguments`] says what can be typed, [`commands`] what each of it does. May use everything below it.

mod arguments;
mod commands;

pub use commands::main;
