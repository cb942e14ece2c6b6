//! Parses the arguments and starts what they name.

use std::process::ExitCode;

use batch_inference_operator::cli;

fn main() -> ExitCode {
    cli::main()
}
