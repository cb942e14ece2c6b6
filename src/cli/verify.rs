//! `verify`: what it prints, and its exit code.

use std::error::Error as StdError;
use std::fmt::Write;
use std::process::ExitCode;

use crate::feeder::chain;
use crate::results::Error;
use crate::storage::{NamedError, Store, open_named_folder, open_named_object};
use crate::verify::{self, Differences, Proven, Verdict};

use super::arguments::VerifyArguments;
use super::environment::environment;

/// What differs, is incomplete or is damaged.
const NOT_PROVEN: u8 = 1;
/// What could not be looked at. Wrong arguments end with it too.
const NOT_CHECKED: u8 = 2;

/// Checks an output. What came of it goes to standard output; why it could not be checked, to standard error.
pub async fn verify(arguments: &VerifyArguments) -> ExitCode {
    let (dataset, key, output) = match open(arguments, environment) {
        Ok(opened) => opened,
        Err(error) => return not_checked(&error),
    };
    let (report, code) = match verify::verify(&dataset, &key, &output).await {
        Ok(Verdict::Unfinished(unfinished)) if unfinished.is_nothing() => {
            eprintln!("not checked: {unfinished}");
            return ExitCode::from(NOT_CHECKED);
        }
        Ok(verdict) => report(&verdict, arguments),
        Err(error @ Error::Store(_)) => return not_checked(&error),
        Err(error) => (format!("not proven: {}\n", damage(&error)), NOT_PROVEN),
    };
    match std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        Err(error) => not_checked(&error),
    }
}

fn open<V: IntoIterator<Item = (String, String)>>(
    arguments: &VerifyArguments,
    vars: impl Fn() -> V,
) -> Result<(Store, String, Store), NamedError> {
    let (dataset, key) = open_named_object(&arguments.dataset, vars())?;
    let output = open_named_folder(&arguments.output, vars())?;
    Ok((dataset, key, output))
}

/// Exit code 1 would say that the output is wrong.
pub fn not_started(error: &anyhow::Error) -> ExitCode {
    not_checked(error.as_ref())
}

fn not_checked(error: &dyn StdError) -> ExitCode {
    eprintln!("not checked: {}", chain(error));
    ExitCode::from(NOT_CHECKED)
}

/// An object that is none of ours. The error's own words are for a job that would write there.
fn damage(error: &Error) -> String {
    match error {
        Error::Unreadable { uri, source } => {
            format!("`{uri}` is not what this version of the operator writes: {source}")
        }
        error => chain(error),
    }
}

fn report(verdict: &Verdict, arguments: &VerifyArguments) -> (String, u8) {
    match verdict {
        Verdict::Proven(proven) => (proof(proven, arguments), 0),
        Verdict::Differs(differences) => (list(differences, arguments), NOT_PROVEN),
        Verdict::Unfinished(unfinished) => (format!("not proven: {unfinished}\n"), NOT_PROVEN),
    }
}

fn proof(proven: &Proven, arguments: &VerifyArguments) -> String {
    let Proven {
        rows,
        results,
        errors,
        invalid_rows,
        usage,
        ..
    } = proven;
    let unsent = match invalid_rows {
        0 => String::new(),
        rows => format!(" ({rows} of them no good requests)"),
    };
    format!(
        "proven: {rows} rows in = {results} results + {errors} errors{unsent}, each row exactly once, in input order\n  \
         {} sha256 {}\n  results.jsonl sha256 {}\n  errors.jsonl sha256 {}\n  \
         {} prompt tokens + {} completion tokens = {}\n",
        arguments.dataset,
        proven.dataset_sha256,
        proven.results_sha256,
        proven.errors_sha256,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
    )
}

fn list(differences: &Differences, arguments: &VerifyArguments) -> String {
    let VerifyArguments { dataset, output } = arguments;
    let total = differences.total();
    let noun = if total == 1 { "difference" } else { "differences" };
    let mut text = format!("not proven: {total} {noun} between `{output}` and `{dataset}`\n");
    for difference in differences.described() {
        let _ = writeln!(text, "  {difference}");
    }
    if differences.more() > 0 {
        let _ = writeln!(text, "  and {} more rows and lines", differences.more());
    }
    text
}
