//! The command line: what the one binary can be told to do.
//!
//! [`arguments`] says what can be typed, [`commands`] what each of it does, [`verify`] what the command of that name prints. May use everything below it.

mod arguments;
mod commands;
mod verify;

pub use commands::main;
