//! Programs that start another one and leave it as it is: `tini -- vllm serve`, `env A=b vllm serve`.

use super::program::is_server;
use super::script::assignment;
use super::words::{file_name, is_shell};

/// Init processes, tracers, and programs that say on which processors another one runs. Each has options of its own before the other
/// program's name.
const WRAPPERS: [&str; 8] = [
    "tini",
    "tini-static",
    "dumb-init",
    "catatonit",
    "opentelemetry-instrument",
    "ddtrace-run",
    "numactl",
    "nice",
];
/// Sets variables.
const ENV: &str = "env";

/// A command, and what stands before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unwrapped<'a> {
    /// The programs before it with their options, without `env`.
    pub before: Vec<String>,
    /// Variables that are set for it.
    pub env: Vec<(String, String)>,
    pub command: &'a [String],
}

/// Takes off what stands before a server or a shell. Before anything else, it stays.
pub(super) fn unwrapped(words: &[String]) -> Unwrapped<'_> {
    let mut unwrapped = Unwrapped {
        before: Vec::new(),
        env: Vec::new(),
        command: words,
    };
    while let Some(length) = length(unwrapped.command) {
        let (wrapper, command) = unwrapped.command.split_at(length);
        let assignments = wrapper.iter().filter_map(|word| assignment(word));
        if is_env(wrapper) {
            unwrapped
                .env
                .extend(assignments.map(|(name, value)| (name.to_owned(), value.to_owned())));
        } else {
            unwrapped.before.extend(wrapper.iter().cloned());
        }
        unwrapped.command = command;
    }
    unwrapped
}

/// How many words the wrapper in front has with its options; none where there is no wrapper, or what it starts cannot be told.
fn length(words: &[String]) -> Option<usize> {
    let program = file_name(words.first()?);
    let starts = |at: &usize| is_command(&words[*at..]);
    if program == ENV {
        let assignments = words[1..].iter().take_while(|word| assignment(word).is_some());
        return Some(1 + assignments.count()).filter(starts);
    }
    if !WRAPPERS.contains(&program) {
        return None;
    }
    (1..words.len()).find(starts)
}

fn is_env(words: &[String]) -> bool {
    words.first().is_some_and(|word| file_name(word) == ENV)
}

/// Whether a server, a shell or another wrapper begins here.
fn is_command(words: &[String]) -> bool {
    is_server(words) || is_shell(words) || is_wrapper(words)
}

/// Whether a program in front would start another one.
pub(super) fn is_wrapper(words: &[String]) -> bool {
    let wraps = |word: &String| file_name(word) == ENV || WRAPPERS.contains(&file_name(word));
    words.first().is_some_and(wraps)
}
