//! The command line: what the two binaries can be told to do.
//!
//! [`arguments`] says what can be typed after `batch-inference-operator`, [`commands`] what each of it does, [`verify`] what the command
//! of that name prints. [`plugin`] is all of `kubectl bij`. May use everything below it.

mod arguments;
mod commands;
mod environment;
mod fetch_adapters;
mod output;
pub mod plugin;
mod runtime;
mod verify;

pub use commands::main;
