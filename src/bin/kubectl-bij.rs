//! The kubectl plugin: `kubectl bij`, and by itself `kubectl-bij`.

use std::process::ExitCode;

use batch_inference_operator::cli;

fn main() -> ExitCode {
    cli::plugin::main()
}
