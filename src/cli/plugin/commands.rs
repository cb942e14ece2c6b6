//! What each command does.

use std::process::ExitCode;

use clap::Parser;

use super::arguments::{Arguments, Command};
use super::change::{cancel, resume, suspend};
use super::cluster::Cluster;
use super::completion::{self, complete};
use super::create::create;
use super::exit;
use super::jobs::Jobs;
use super::login;
use super::refusal::Refusal;
use super::results::results;
use super::show::{get, list};
use super::standard_error::tell;
use super::standard_output;
use super::validate::validate;
use super::wait::wait;
use super::watch::watch;
use crate::cli::runtime;
use crate::storage::whole_chain;

/// Runs what the arguments name. Data goes to standard output, everything else to standard error; in a terminal, what `watch` draws over
/// is not told apart.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    run(&arguments).unwrap_or_else(|error| {
        if let Some(code) = standard_output::silent_code(&error) {
            return ExitCode::from(code);
        }
        tell(format_args!("error: {}", told(&error)));
        ExitCode::from(exit::NOT_DONE)
    })
}

/// A login may be needed again in the middle of anything, wherever its failure comes to light.
fn told(error: &anyhow::Error) -> String {
    match login::failure(error.as_ref()) {
        Some(why) => Refusal::NoLogin { why }.to_string(),
        None => whole_chain(error.as_ref()),
    }
}

/// Help and version are no errors. Wrong arguments end as what could not be done: clap's own code for them is that of a `wait` whose
/// time is over.
fn explain(error: &clap::Error) -> ExitCode {
    // Where neither can be written, nobody can be told.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(exit::NOT_DONE)
    } else {
        ExitCode::SUCCESS
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    runtime::log_as_text();
    runtime::run(Box::pin(start(arguments)))
}

async fn start(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let cluster = &arguments.cluster;
    let jobs = async || anyhow::Ok(Jobs::new(Cluster::find(cluster).await?));
    match &arguments.command {
        Command::Create(arguments) => create(cluster, arguments).await,
        Command::Get(arguments) => get(&jobs().await?, arguments).await,
        Command::List(arguments) => list(&jobs().await?, arguments).await,
        Command::Watch(arguments) => watch(&jobs().await?, arguments).await,
        Command::Wait(arguments) => wait(&jobs().await?, arguments).await,
        Command::Results(arguments) => Box::pin(results(cluster, arguments)).await,
        Command::Cancel(arguments) => cancel(&jobs().await?, arguments).await,
        Command::Suspend(arguments) => suspend(&jobs().await?, arguments).await,
        Command::Resume(arguments) => resume(&jobs().await?, arguments).await,
        Command::Validate(arguments) => validate(arguments).await,
        Command::Completion { shell } => {
            standard_output::write(&completion::script(*shell))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Complete { words } => complete(cluster, words).await,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_long_error_is_told_to_its_last_cause() {
        let stores_words = "<Error>".repeat(1000);
        let error = Err::<(), _>(anyhow::anyhow!("the key has expired"));
        let error = error
            .context(stores_words.clone())
            .context("the store failed")
            .unwrap_err();
        assert_eq!(
            told(&error),
            format!("the store failed: {stores_words}: the key has expired")
        );
    }
}
