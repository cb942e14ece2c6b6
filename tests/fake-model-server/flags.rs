//! The options that the real servers have, and reading arguments with them.

use std::collections::BTreeMap;

/// What `llama-server --help` of llama.cpp 0.7.0 (build 11669) prints; the list of its options is taken from it.
const LLAMA_SERVER_HELP: &str = include_str!("llama-server-help.txt");
/// See each file's head.
const VLLM_FLAGS: &str = include_str!("vllm-flags.txt");
const LORAX_FLAGS: &str = include_str!("lorax-flags.txt");
const SGLANG_FLAGS: &str = include_str!("sglang-flags.txt");

/// How many values follow an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    None,
    One,
    Many,
}

/// One option under one of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flag {
    /// The name by which [`Given`] has it: the longest of its names.
    canonical: String,
    arity: Arity,
}

/// The options of a server, and its manner of refusing others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flags {
    style: Style,
    by_name: BTreeMap<String, Flag>,
}

/// Whose rules arguments are read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Python's argparse, as vLLM uses it.
    Vllm,
    /// Python's argparse.
    Sglang,
    /// Rust's clap.
    Lorax,
    /// llama.cpp's `common/arg.cpp`.
    LlamaCpp,
}

/// The arguments that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Arguments that belong to no option.
    pub positional: Vec<String>,
    /// Options by canonical name; of one given twice, the last.
    pub options: BTreeMap<String, Vec<String>>,
}

impl Given {
    /// The value of an option that has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.options.get(name)?.first().map(String::as_str)
    }

    /// Whether an option was given.
    pub fn has(&self, name: &str) -> bool {
        self.options.contains_key(name)
    }
}

/// Why the server does not start, in the words of the one it plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub message: String,
    pub exit_code: u8,
}

impl Flags {
    /// The options of `vllm serve`.
    pub fn vllm() -> Self {
        Self::listed(Style::Vllm, VLLM_FLAGS)
    }

    /// The options of `lorax-launcher`.
    pub fn lorax() -> Self {
        Self::listed(Style::Lorax, LORAX_FLAGS)
    }

    /// The options of `python3 -m sglang.launch_server`.
    pub fn sglang() -> Self {
        Self::listed(Style::Sglang, SGLANG_FLAGS)
    }

    fn listed(style: Style, list: &str) -> Self {
        let mut flags = Self::none(style);
        for line in list.lines().filter(|line| line.starts_with('-')) {
            let mut words: Vec<&str> = line.split_whitespace().collect();
            let arity = match words.pop() {
                Some("none") => Arity::None,
                Some("one") => Arity::One,
                Some("many") => Arity::Many,
                _ => panic!("a list of options has a line without a number of values: {line}"),
            };
            flags.add(&words, arity);
        }
        flags
    }

    /// The options of llama-server.
    pub fn llama_server() -> Self {
        Self::from_llama_server_help(LLAMA_SERVER_HELP)
    }

    /// The options that a text of `llama-server --help` lists.
    pub fn from_llama_server_help(help: &str) -> Self {
        let mut flags = Self::none(Style::LlamaCpp);
        for line in help
            .lines()
            .filter(|line| line.starts_with('-') && !line.starts_with("-----"))
        {
            let (names, arity) = read_help_line(line);
            flags.add(&names, arity);
        }
        flags
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// How many values follow an option; none when there is no such option.
    pub fn arity(&self, name: &str) -> Option<Arity> {
        self.by_name.get(name).map(|flag| flag.arity)
    }

    /// Reads arguments as the real server does.
    pub fn read(&self, args: &[String]) -> Result<Given, Refusal> {
        let mut given = Given::default();
        let mut rest = args;
        while let Some((arg, after)) = rest.split_first() {
            rest = after;
            if self.style == Style::Vllm && !arg.starts_with('-') {
                given.positional.push(arg.clone());
                continue;
            }
            let (name, attached) = self.split(arg);
            let Some(flag) = self.by_name.get(&name) else {
                return Err(self.unknown(arg));
            };
            let mut values: Vec<String> = attached.into_iter().collect();
            if values.is_empty() {
                let count = self.count_values(flag.arity, rest);
                values = rest[..count].to_vec();
                rest = &rest[count..];
            }
            if flag.arity != Arity::None && values.is_empty() {
                return Err(self.no_value(arg));
            }
            let earlier = given.options.insert(flag.canonical.clone(), values);
            if earlier.is_some() && self.style == Style::Lorax && flag.arity != Arity::Many {
                return Err(given_again(&flag.canonical));
            }
        }
        Ok(given)
    }

    fn none(style: Style) -> Self {
        Self {
            style,
            by_name: BTreeMap::new(),
        }
    }

    fn add(&mut self, names: &[&str], arity: Arity) {
        let canonical = names
            .iter()
            .max_by_key(|name| name.len())
            .map(|name| (*name).to_owned());
        for name in names {
            let flag = Flag {
                canonical: canonical.clone().unwrap_or_default(),
                arity,
            };
            self.by_name.insert((*name).to_owned(), flag);
        }
    }

    /// An argument's option name, and the value after `=` where that is allowed.
    fn split(&self, arg: &str) -> (String, Option<String>) {
        if self.style == Style::LlamaCpp {
            return (arg.to_owned(), None);
        }
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg, None),
        };
        if self.style == Style::Vllm && name.starts_with("--") {
            return (name.replace('_', "-"), value);
        }
        (name.to_owned(), value)
    }

    /// How many of the next arguments are an option's values. llama.cpp takes the next one whatever it looks like.
    fn count_values(&self, arity: Arity, rest: &[String]) -> usize {
        let values = match self.style {
            Style::LlamaCpp => rest.len(),
            _ => rest.iter().take_while(|arg| !looks_like_option(arg)).count(),
        };
        match arity {
            Arity::None => 0,
            Arity::Many if self.style != Style::Lorax => values,
            Arity::One | Arity::Many => values.min(1),
        }
    }

    // argparse and clap end a program with 2 (Python's `argparse.ArgumentParser.error`, clap's `Error::exit_code`).
    fn unknown(&self, arg: &str) -> Refusal {
        match self.style {
            Style::Vllm => refusal(2, format!("vllm serve: error: unrecognized arguments: {arg}")),
            Style::Sglang => refusal(2, format!("sglang serve: error: unrecognized arguments: {arg}")),
            Style::Lorax => refusal(2, format!("error: unexpected argument '{arg}' found")),
            Style::LlamaCpp => refusal(1, format!("error: invalid argument: {arg}")),
        }
    }

    fn no_value(&self, arg: &str) -> Refusal {
        match self.style {
            Style::Vllm => refusal(2, format!("vllm serve: error: argument {arg}: expected one argument")),
            Style::Sglang => refusal(2, format!("sglang serve: error: argument {arg}: expected one argument")),
            Style::Lorax => refusal(
                2,
                format!("error: a value is required for '{arg}' but none was supplied"),
            ),
            Style::LlamaCpp => {
                let message = format!("error while handling argument \"{arg}\": expected value for argument");
                refusal(1, message)
            }
        }
    }
}

fn refusal(exit_code: u8, message: String) -> Refusal {
    Refusal { message, exit_code }
}

fn given_again(name: &str) -> Refusal {
    refusal(2, format!("error: the argument '{name}' cannot be used multiple times"))
}

/// argparse takes `-1` for a value.
fn looks_like_option(arg: &str) -> bool {
    arg.starts_with('-') && arg.parse::<f64>().is_err()
}

/// The names on a line of the help, and whether a value follows: what stands one space after the last name is the value's
/// placeholder, the description is further off or on the next line.
fn read_help_line(line: &str) -> (Vec<&str>, Arity) {
    let mut names = Vec::new();
    let mut rest = line;
    loop {
        let end = rest.find(' ').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if let Some(name) = word.strip_suffix(',') {
            names.push(name);
            rest = after.trim_start();
            continue;
        }
        names.push(word);
        let has_placeholder = after.len() > 1 && !after[1..].starts_with(' ');
        return (names, if has_placeholder { Arity::One } else { Arity::None });
    }
}
