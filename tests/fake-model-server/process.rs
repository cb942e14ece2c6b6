//! The fake model server as a process: `fake-model-server` and the arguments of the server it plays.
//!
//! Ends with 0 on SIGTERM and SIGINT, dropping what is in flight, as vLLM does.

#[path = "mod.rs"]
mod fake_model_server;

use std::process::ExitCode;

use fake_model_server::{Refusal, Settings, server};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    println!("arguments: {args:?}");
    let settings = match Settings::read(&args, |name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(refusal) => return refuse(&refusal),
    };
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(refusal: &Refusal) -> ExitCode {
    eprintln!("{}", refusal.message);
    ExitCode::from(refusal.exit_code)
}

async fn run(settings: Settings) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let server = server::Server::bind(settings)?;
    println!("plays {:?} on {}", server.settings().program, server.address());
    tokio::select! {
        ended = server.serve() => ended,
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
