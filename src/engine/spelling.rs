//! How engines read options: which argument is which option, in every spelling, and what its value is.

use super::Engine;

/// How an engine reads its arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Python's argparse: a long option may be cut short, and a short one have its value attached.
    Argparse,
    /// Rust's clap: the same, but long options are written in full.
    Clap,
    /// llama.cpp's `common/arg.cpp`: names are written in full, and values apart.
    LlamaCpp,
}

impl Reader {
    /// How an engine reads; none where only the person knows.
    pub(super) fn of(engine: Engine) -> Option<Self> {
        Some(match engine {
            Engine::VLLM | Engine::SGLang => Self::Argparse,
            Engine::LoRAX => Self::Clap,
            Engine::LlamaCpp => Self::LlamaCpp,
            Engine::Custom => return None,
        })
    }

    /// Whether an argument is an option of this name, in any spelling.
    pub(super) fn is_spelling(self, written: &str, name: &str) -> bool {
        if !name.starts_with("--") {
            // A value can be attached to a name of one letter: `-qfp8`.
            let may_attach = self != Self::LlamaCpp && name.len() == 2 && !written.starts_with("--");
            return option_name(written) == name || (may_attach && written.starts_with(name));
        }
        let written = option_name(written).replace('_', "-");
        match self {
            Self::Argparse => written.len() > 2 && name.starts_with(&written),
            Self::Clap | Self::LlamaCpp => written == name,
        }
    }

    /// Whether any of these options is among the arguments.
    pub(super) fn has(self, args: &[String], names: &[&str]) -> bool {
        args.iter()
            .any(|written| names.iter().any(|name| self.is_spelling(written, name)))
    }

    /// The value of one of these options that counts, which is the last: what stands after `=`, else the next argument.
    pub(super) fn value<'a>(self, args: &'a [String], names: &[&str]) -> Option<&'a str> {
        let is_it = |written: &String| names.iter().any(|name| self.is_spelling(written, name));
        let at = args.iter().rposition(is_it)?;
        match args[at].split_once('=') {
            Some((_, value)) => Some(value),
            None => args.get(at + 1).map(String::as_str),
        }
    }
}

/// An argument without a value after `=`.
pub(super) fn option_name(written: &str) -> &str {
    written.split_once('=').map_or(written, |(name, _)| name)
}

/// Arguments without these options and their values, which are the words up to the next option.
pub(super) fn without(args: Vec<String>, is_option: impl Fn(&str) -> bool) -> Vec<String> {
    let mut without = Vec::new();
    let mut rest = args.into_iter().peekable();
    while let Some(arg) = rest.next() {
        if !is_option(&arg) {
            without.push(arg);
            continue;
        }
        let has_value = option_name(&arg) != arg;
        while rest.next_if(|word| !has_value && !word.starts_with('-')).is_some() {}
    }
    without
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_goes_with_all_of_its_values() {
        for (args, left) in [
            (
                &["--seed", "1", "--lora-modules", "a=b", "c=d", "--x"][..],
                &["--seed", "1", "--x"][..],
            ),
            (&["--lora-modules=a=b", "left"], &["left"]),
            (&["--lora-modules", "--x"], &["--x"]),
        ] {
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(without(args, |arg| option_name(arg) == "--lora-modules"), left);
        }
    }

    #[test]
    fn of_an_option_given_twice_the_last_value_counts() {
        for (args, value) in [
            (&["--max-model-len", "8192"][..], Some("8192")),
            (&["--max_model_len=4096", "--seed", "1"], Some("4096")),
            (&["--max-model-len", "8192", "--max-model-len=16k"], Some("16k")),
            (&["--max-model-len"], None),
            (&["--seed", "1"], None),
        ] {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert_eq!(Reader::Argparse.value(&args, &["--max-model-len"]), value, "{args:?}");
        }
    }
}
