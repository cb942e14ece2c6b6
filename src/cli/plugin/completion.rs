//! What may come next on the command line.
//!
//! [`script`] is for shells, and completes `kubectl-bij`. [`complete`] is for kubectl, which has a completion of its own and asks a
//! program `kubectl_complete-bij` what may stand behind `kubectl bij`:
//! <https://kubernetes.io/docs/reference/kubectl/generated/kubectl_plugin/>

use std::process::ExitCode;

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;

use super::arguments::{Arguments, ClusterArguments};
use super::cluster::Cluster;
use super::jobs::{Jobs, Scope};
use super::standard_output;

/// Ends an answer to kubectl: no names of files are to be added (cobra's `ShellCompDirectiveNoFileComp`).
const NO_FILES: &str = ":4";
/// The same, but names of files are welcome (`ShellCompDirectiveDefault`).
const FILES: &str = ":0";

/// A script that completes for a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "kubectl-bij", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Answers kubectl, one word a line. A cluster that cannot be asked for its jobs gives none: nobody wants to read why while typing.
///
/// # Errors
///
/// Standard output cannot be written.
pub async fn complete(cluster: &ClusterArguments, words: &[String]) -> anyhow::Result<ExitCode> {
    let (finished, begun) = words.split_at(words.len().saturating_sub(1));
    let begun = begun.first().map_or("", String::as_str);
    let (words, directive) = match wanted(&Arguments::command(), finished, begun) {
        Wanted::Words(words) => (words, NO_FILES),
        Wanted::Jobs => (names(&cluster_of(cluster, finished)).await, NO_FILES),
        Wanted::Files => (Vec::new(), FILES),
    };
    let fitting = words.iter().map(String::as_str).filter(|word| word.starts_with(begun));
    let lines: Vec<_> = fitting.chain([directive, ""]).collect();
    standard_output::write(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// What may stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Words(Vec<String>),
    Jobs,
    Files,
}

fn wanted(program: &Command, finished: &[String], begun: &str) -> Wanted {
    let global = program.get_arguments().collect::<Vec<_>>();
    let (mut command, mut is_value, mut positions) = (program, None, 0);
    for word in finished {
        if is_value.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            is_value = flag(command, &global, word).filter(|arg| takes_value(arg) && !word.contains('='));
        } else if let Some(named) = command.find_subcommand(word) {
            command = named;
        } else {
            positions += 1;
        }
    }
    if let Some(arg) = is_value {
        return values(arg);
    }
    if begun.starts_with('-') {
        return Wanted::Words(flags(command, &global));
    }
    if command.has_subcommands() {
        let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
        return Wanted::Words(shown.map(|one| one.get_name().to_owned()).collect());
    }
    let position = command.get_positionals().nth(positions);
    position.map_or(Wanted::Words(Vec::new()), values)
}

/// The words of an argument; where it has none, its name says what it is.
fn values(arg: &Arg) -> Wanted {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        return Wanted::Words(possible.iter().map(|value| value.get_name().to_owned()).collect());
    }
    match arg.get_id().as_str() {
        "job" => Wanted::Jobs,
        "file" | "output" | "dataset" | "kubeconfig" | "from" => Wanted::Files,
        _ => Wanted::Words(Vec::new()),
    }
}

fn flag<'a>(command: &'a Command, global: &[&'a Arg], word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or(word);
    let is_named = |arg: &&Arg| {
        let long = arg.get_long().map(|long| format!("--{long}"));
        let short = arg.get_short().map(|short| format!("-{short}"));
        [long, short].into_iter().flatten().any(|own| own == name)
    };
    let mut all = command.get_arguments().chain(global.iter().copied());
    all.find(is_named)
}

fn flags(command: &Command, global: &[&Arg]) -> Vec<String> {
    let all = command.get_arguments().chain(global.iter().copied());
    all.filter_map(Arg::get_long).map(|long| format!("--{long}")).collect()
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// The cluster that the words so far mean: they are not parsed, as they are not all there yet.
fn cluster_of(given: &ClusterArguments, finished: &[String]) -> ClusterArguments {
    let value = |names: [&str; 2]| {
        let mut pairs = finished.windows(2).filter(|pair| names.contains(&pair[0].as_str()));
        let apart = pairs.next().map(|pair| pair[1].clone());
        let joined = |word: &String| {
            let (name, value) = word.split_once('=')?;
            names.contains(&name).then(|| value.to_owned())
        };
        apart.or_else(|| finished.iter().find_map(joined))
    };
    ClusterArguments {
        kubeconfig: value(["--kubeconfig"; 2])
            .map(Into::into)
            .or_else(|| given.kubeconfig.clone()),
        context: value(["--context"; 2]).or_else(|| given.context.clone()),
        namespace: value(["-n", "--namespace"]).or_else(|| given.namespace.clone()),
    }
}

async fn names(cluster: &ClusterArguments) -> Vec<String> {
    let Ok(cluster) = Cluster::find(cluster).await else {
        return Vec::new();
    };
    let jobs = Jobs::new(cluster).list(Scope::Namespace, None).await;
    let names = jobs.unwrap_or_default().into_iter();
    names.map(|job| job.name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_can_complete_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
            let script = script(shell);
            for word in ["kubectl-bij", "validate", "namespace"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    /// The last word is the one that is typed.
    fn at(line: &str) -> Wanted {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (begun, finished) = words.split_last().unwrap();
        wanted(&Arguments::command(), finished, begun)
    }

    fn has(line: &str, word: &str) -> bool {
        matches!(at(line), Wanted::Words(words) if words.iter().any(|one| one == word))
    }

    #[test]
    fn what_comes_next_depends_on_what_stands_before() {
        assert!(has("", "watch") && has("-n team w", "wait") && !has("", "__complete"));
        assert!(has("results --", "--split") && has("results --", "--namespace") && !has("results --", "--timeout"));
        assert!(has("get -o ", "yaml") && has("completion ", "zsh") && has("create --dry-run ", "server"));
        for line in ["get ", "wait --timeout 5m ", "-n team results -o file --split "] {
            assert_eq!(at(line), Wanted::Jobs, "{line}");
        }
        for line in ["validate ", "results x -o ", "create -f ", "get --kubeconfig "] {
            assert_eq!(at(line), Wanted::Files, "{line}");
        }
        for line in ["get x ", "wait x --timeout ", "list "] {
            assert_eq!(at(line), Wanted::Words(Vec::new()), "{line}");
        }
    }

    #[test]
    fn the_cluster_is_read_from_words_that_are_not_all_there() {
        let words = ["get", "--context=there", "-n", "team"].map(str::to_owned);
        let cluster = cluster_of(&ClusterArguments::default(), &words);
        assert_eq!(cluster.context.as_deref(), Some("there"));
        assert_eq!((cluster.namespace.as_deref(), cluster.kubeconfig), (Some("team"), None));
    }
}
