//! The command that a shell is given, as far as it does nothing but set variables and start one server.

use std::collections::BTreeMap;

use super::FoundError;
use super::words::file_name;

/// What the shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The programs that it starts, each with its arguments.
    pub commands: Vec<Vec<String>>,
    /// Variables that are set for them.
    pub env: Vec<(String, String)>,
}

/// Commands without which a server starts in the same way.
const WITHOUT_EFFECT: [&str; 4] = ["set", "ulimit", "echo", ":"];
/// What stands between two commands.
const SEPARATORS: [&str; 2] = ["&&", ";"];
/// What begins more than a command.
const KEYWORDS: [&str; 8] = ["if", "for", "while", "until", "case", "trap", "{", "function"];
/// What joins commands, or sends what they say elsewhere.
const OPERATORS: [char; 7] = ['|', '&', '<', '>', '(', ')', ';'];

pub(super) fn read(script: &str, env: &BTreeMap<String, Option<String>>) -> Result<Script, FoundError> {
    let mut known = env.clone();
    let mut read = Script {
        commands: Vec::new(),
        env: Vec::new(),
    };
    for line in script.replace("\\\n", " ").lines() {
        for words in commands(line)? {
            let words = words.iter().map(|word| word_of(word, &known));
            let words = words.collect::<Result<Vec<_>, _>>()?.concat();
            let command = without_assignments(words, &mut known, &mut read.env);
            read.commands.extend(command.filter(|words| !is_without_effect(words)));
        }
    }
    Ok(read)
}

fn is_without_effect(words: &[String]) -> bool {
    let program = words.first().map(|program| file_name(program));
    program.is_some_and(|program| WITHOUT_EFFECT.contains(&program))
}

/// The commands of a line, each as its words before variables are filled in.
fn commands(line: &str) -> Result<Vec<Vec<Word>>, FoundError> {
    let mut commands = Vec::new();
    let mut command = Vec::new();
    for mut word in split(line)? {
        if SEPARATORS.contains(&word.text.as_str()) && !word.is_quoted {
            commands.push(std::mem::take(&mut command));
            continue;
        }
        // `set -x;`
        let ends = !word.is_quoted && word.text.ends_with(';');
        if ends {
            word.text.pop();
        }
        if word.is_more_than_a_word(command.is_empty()) {
            return Err(FoundError::Shell { word: word.text });
        }
        command.push(word);
        if ends {
            commands.push(std::mem::take(&mut command));
        }
    }
    commands.push(command);
    commands.retain(|command| !command.is_empty());
    Ok(commands)
}

/// Takes the variables off the front of a command, and `exec` with them; none where nothing else is left.
fn without_assignments(
    command: Vec<String>,
    known: &mut BTreeMap<String, Option<String>>,
    set: &mut Vec<(String, String)>,
) -> Option<Vec<String>> {
    let mut words = command.into_iter().peekable();
    while let Some(word) = words.peek() {
        if matches!(word.as_str(), "export" | "exec" | "env") {
            words.next();
            continue;
        }
        let Some((name, value)) = assignment(word) else {
            break;
        };
        known.insert(name.to_owned(), Some(value.to_owned()));
        set.retain(|(earlier, _)| earlier != name);
        set.push((name.to_owned(), value.to_owned()));
        words.next();
    }
    let rest: Vec<String> = words.collect();
    (!rest.is_empty()).then_some(rest)
}

/// A word that sets a variable: its name and value.
pub(super) fn assignment(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(name, _)| is_name(name))
}

fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A word as it is written, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    /// Whether any of it was in quotes, so that it is one word whatever its variables hold.
    is_quoted: bool,
    /// Whether it was in single quotes, where a `$` is one.
    is_literal: bool,
}

impl Word {
    /// Whether a shell would do more with it than pass it on. What a `$` begins is seen when it is filled in.
    fn is_more_than_a_word(&self, is_first: bool) -> bool {
        let text = self.text.as_str();
        // Kubernetes' `$(NAME)`.
        let has_variable = text.contains("$(") && text.contains(')');
        let operates = !self.is_quoted && !has_variable && text.contains(OPERATORS);
        let begins = is_first && !self.is_quoted && KEYWORDS.contains(&text);
        let substitutes = !self.is_literal && text.contains('`');
        operates || begins || substitutes
    }
}

/// Words as a POSIX shell splits them; a comment is none.
fn split(line: &str) -> Result<Vec<Word>, FoundError> {
    let mut lexer = shlex::Shlex::new(line);
    let texts: Vec<String> = lexer.by_ref().collect();
    if lexer.had_error {
        return Err(FoundError::Quotes);
    }
    // Which quotes a word had is seen where it stands in the line.
    let mut rest = line;
    let words = texts.into_iter().map(|text| {
        rest = rest.trim_start();
        let first = rest.split_whitespace().next().unwrap_or_default();
        rest = after(rest);
        Word {
            text,
            is_quoted: first.contains(['\'', '"']),
            is_literal: first.contains('\''),
        }
    });
    Ok(words.collect())
}

/// What follows the first word.
fn after(text: &str) -> &str {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (None | Some('"'), '\\') => escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, c) if c.is_whitespace() => return &text[at..],
            _ => {}
        }
    }
    ""
}

/// A word with its variables filled in; several words where it is not in quotes and a value has spaces.
fn word_of(word: &Word, known: &BTreeMap<String, Option<String>>) -> Result<Vec<String>, FoundError> {
    if word.is_literal {
        return Ok(vec![word.text.clone()]);
    }
    let filled = filled(&word.text, known)?;
    if word.is_quoted || filled == word.text {
        return Ok(vec![filled]);
    }
    Ok(filled.split_whitespace().map(ToOwned::to_owned).collect())
}

/// `$NAME`, `${NAME}` and `${NAME:-DEFAULT}` with the variable's value. One that comes from a Secret becomes Kubernetes' `$(NAME)`, which
/// is filled in when the container starts.
fn filled(text: &str, known: &BTreeMap<String, Option<String>>) -> Result<String, FoundError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        // Kubernetes fills that in before the shell sees it.
        if let Some((name, next)) = after.strip_prefix('(').and_then(|after| after.split_once(')'))
            && known.get(name) == Some(&None)
        {
            filled.extend(["$(", name, ")"]);
            rest = next;
            continue;
        }
        let (name, default, next) = variable(after);
        if name.is_empty() {
            let word = format!("${}", after.chars().next().unwrap_or(' '));
            return Err(FoundError::Shell { word });
        }
        match (known.get(name), default) {
            (Some(Some(value)), _) => filled.push_str(value),
            (Some(None), _) => filled.extend(["$(", name, ")"]),
            (None, Some(default)) => filled.push_str(default),
            (None, None) => return Err(FoundError::Variable { name: name.to_owned() }),
        }
        rest = next;
    }
    Ok(filled + rest)
}

/// A variable's name, its default, and what follows; no name where it is something else.
fn variable(text: &str) -> (&str, Option<&str>, &str) {
    if let Some((inside, next)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let name = if is_name(name) { name } else { "" };
        return (name, default, next);
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let (name, next) = text.split_at(end);
    (if is_name(name) { name } else { "" }, None, next)
}
