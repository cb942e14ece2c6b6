//! A container's command line as words: variables filled in as Kubernetes does, and a shell's command read.

use std::collections::BTreeMap;

use super::script::{self, Script};
use super::wrappers::unwrapped;
use super::{FoundContainer, FoundError, program};

/// Programs that read a command of their own.
const SHELLS: [&str; 4] = ["sh", "bash", "ash", "dash"];

/// What starts the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// The programs that start it, with their options.
    pub before: Vec<String>,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables that are set for it.
    pub env: Vec<(String, String)>,
}

pub(super) fn command_line(container: &FoundContainer<'_>) -> Result<CommandLine, FoundError> {
    let given = container.command.iter().chain(container.args);
    let words: Vec<String> = given.map(|word| filled(word, container.env)).collect();
    let outer = CommandLine::of(&words);
    if !is_shell(&outer.words) {
        return Ok(outer);
    }
    let mut known = container.env.clone();
    known.extend(
        outer
            .env
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone()))),
    );
    let Script { commands, env } = script::read(script_of(&outer.words)?, &known)?;
    let inner = CommandLine::of(&the_server(commands)?);
    Ok(CommandLine {
        before: [outer.before, inner.before].concat(),
        words: inner.words,
        env: [outer.env, env, inner.env].concat(),
    })
}

impl CommandLine {
    fn of(words: &[String]) -> Self {
        let unwrapped = unwrapped(words);
        Self {
            before: unwrapped.before,
            words: unwrapped.command.to_vec(),
            env: unwrapped.env,
        }
    }
}

/// Whether a shell begins here.
pub(super) fn is_shell(words: &[String]) -> bool {
    words.first().is_some_and(|word| SHELLS.contains(&file_name(word)))
}

/// The one command of a shell; of several, one that is no server is named.
fn the_server(mut commands: Vec<Vec<String>>) -> Result<Vec<String>, FoundError> {
    if commands.len() < 2 {
        return Ok(commands.pop().unwrap_or_default());
    }
    let other = commands.iter().find(|command| !program::is_server(command));
    let other = other.or(commands.last()).and_then(|command| command.first());
    Err(FoundError::OtherProgram {
        program: other.cloned().unwrap_or_default(),
    })
}

/// The command that a shell is given: what follows `-c`, which may stand together with others, as in `-exc`.
fn script_of(words: &[String]) -> Result<&str, FoundError> {
    let options = words.iter().skip(1).take_while(|word| word.starts_with('-'));
    let count = options.clone().count();
    let has_command = options
        .clone()
        .any(|word| !word.starts_with("--") && word.contains('c'));
    let next = words.get(count + 1).map(String::as_str).unwrap_or_default();
    if has_command {
        return Ok(next);
    }
    Err(FoundError::ScriptFile {
        script: next.to_owned(),
    })
}

/// `$(NAME)` with the variable's value; as it is where that is not known, as Kubernetes then fills it in again.
fn filled(word: &str, env: &BTreeMap<String, Option<String>>) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once("$(") {
        filled.push_str(before);
        let value = after.split_once(')').and_then(|(name, after)| {
            let value = env.get(name)?.as_ref()?;
            Some((value, after))
        });
        if let Some((value, after)) = value.filter(|_| !before.ends_with('$')) {
            filled.push_str(value);
            rest = after;
        } else {
            filled.push_str("$(");
            rest = after;
        }
    }
    filled + rest
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
