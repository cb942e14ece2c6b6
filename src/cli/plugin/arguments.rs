//! What can be typed.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use super::create::CreateArguments;
use super::duration::duration;
use crate::api::Engine;
use crate::api::adapters::AdapterSource;

/// Batch inference jobs on Kubernetes, without writing YAML.
///
/// Exit codes: 0 as it should be; 1 the job failed, or the file is bad; 2 the time is over (wait); 3 it could not be done or asked.
#[derive(Debug, Parser)]
#[command(name = "kubectl-bij", bin_name = "kubectl bij", version)]
pub struct Arguments {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster, and which namespace of it, as kubectl has them.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArguments {
    /// The kubeconfig file to use. Default: KUBECONFIG, then ~/.kube/config, then the service account of the pod.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    // PathBuf's own parser refuses an empty value.
    pub kubeconfig: Option<OsString>,
    /// The context of the kubeconfig to use. Default: its current one.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The namespace. Default: the context's.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
}

/// An empty value is none, as to kubectl: scripts pass variables that are not set.
impl ClusterArguments {
    /// The file that is named.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig
            .as_deref()
            .filter(|path| !path.is_empty())
            .map(Path::new)
    }

    /// The context that is named.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref().filter(|name| !name.is_empty())
    }

    /// The namespace that is named.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|name| !name.is_empty())
    }
}

/// What the plugin can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a job by flags or from a file; a data set of this machine is checked and uploaded first.
    ///
    /// It goes to the namespace's default store (Secret `batch-inference-store`), or to --dataset-uri: with the keys of the environment, else
    /// with those of the store's Secret, if you may read it and its address is known here, else through a pod in the namespace that lives as
    /// long as this command.
    Create(Box<CreateArguments>),
    /// Show one job, by its name or uid.
    Get(GetArguments),
    /// List jobs.
    List(ListArguments),
    /// Follow a job to its end: a progress bar on a terminal, a line for each change elsewhere. Exit code as wait has.
    Watch(JobArguments),
    /// Wait for a job's end. Exit code 0: it completed; 1: it failed; 2: the time is over.
    Wait(WaitArguments),
    /// Fetch the rows of a job, in input order, failed ones with their error.
    ///
    /// The store is opened with the keys of the environment (`AWS_ACCESS_KEY_ID` and so on), else with those of the Secret that the
    /// job names, if you may read it. Without either, for an address that only the cluster knows, and for an output on a claim, a pod in
    /// the job's namespace reads it: it lives as long as this command. Results in a ConfigMap are read from there.
    Results(ResultsArguments),
    /// End a job before its last row; what is finished becomes its results.
    Cancel(CancelArguments),
    /// Give the GPUs of a job back and keep every finished row.
    Suspend(ChangeArguments),
    /// Go on with a job that is suspended.
    Resume(ChangeArguments),
    /// Check a data set on this machine as a job would. Exit code 0: good; 1: bad, and every refused line is printed.
    Validate(ValidateArguments),
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Print what may come next, as kubectl asks its plugins.
    #[command(name = "__complete", hide = true)]
    Complete {
        /// The words so far. The last one is not finished.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// How objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As the API server has it.
    Json,
    /// As the API server has it.
    Yaml,
    /// A table with all columns.
    Wide,
    /// Kind and name only.
    Name,
}

impl Format {
    /// Whether people read it, and not programs.
    #[must_use]
    pub fn is_for_people(self) -> bool {
        self == Self::Wide
    }
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct GetArguments {
    /// Name or uid of the job.
    pub job: String,
    /// How to print it.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Jobs of all namespaces, whatever -n says.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only jobs with these labels.
    #[arg(short = 'l', long)]
    pub selector: Option<String>,
    /// How to print them.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// A job.
#[derive(Debug, Args)]
pub struct JobArguments {
    /// Name or uid of the job.
    pub job: String,
}

/// Arguments of `wait`.
#[derive(Debug, Args)]
pub struct WaitArguments {
    /// Name or uid of the job.
    pub job: String,
    /// How long to wait: 30s, 5m, 1h30m; 0 only looks. Default: as long as it takes.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub struct CancelArguments {
    /// Which job.
    #[command(flatten)]
    pub job: ChangeArguments,
    /// Abort the rows in flight instead of waiting for them.
    #[arg(long)]
    pub now: bool,
}

/// Arguments of a change.
#[derive(Debug, Args)]
pub struct ChangeArguments {
    /// Name or uid of the job.
    pub job: String,
    /// How to print it.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// Arguments of `results`.
#[derive(Debug, Args)]
pub struct ResultsArguments {
    /// Name or uid of the job.
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub job: Option<String>,
    /// The file to write, or with --split the folder. A download that broke goes on where it was. Default: standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write results.jsonl and errors.jsonl, as they are in the store, into the folder of -o.
    #[arg(long, requires = "output")]
    pub split: bool,
    /// Write what is finished so far, if the job has not ended yet.
    #[arg(long, conflicts_with = "split")]
    pub partial: bool,
    /// Read through a pod in the cluster, also when there are keys here: for a store that only the cluster reaches.
    #[arg(long, conflicts_with = "from")]
    pub via_cluster: bool,
    /// Where the output is, without asking a cluster: the path of a folder (a mounted claim, a copy), or s3://BUCKET/PREFIX/.
    #[arg(long, value_name = "FOLDER|URI")]
    pub from: Option<String>,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct ValidateArguments {
    /// The data set: a file of this machine; what ends in .gz or .zst is read as compressed. Also the URI of one, as a job has it.
    pub file: String,
    /// The job's base model: rows may call it so. Without it, no name is refused, and those that rows have are printed.
    #[arg(long)]
    pub model: Option<String>,
    /// The model server program that the model is for.
    #[arg(long, value_name = "ENGINE", value_parser = engine, default_value_t)]
    pub engine: Engine,
    /// Another name by which rows call the base model. May be given more than once.
    #[arg(long = "served-model-name", value_name = "NAME", requires = "model")]
    pub served_model_names: Vec<String>,
    /// Rows may name adapters: where they are. Hub, S3, Local or PBase.
    #[arg(long, value_name = "SOURCE", value_parser = adapter_source, requires = "model")]
    pub adapters: Option<AdapterSource>,
    /// What their names stand below: a directory in the server's container, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "DIRECTORY|URI", requires = "adapters")]
    pub adapters_location: Option<String>,
}

/// Reads where adapters are.
pub(super) fn adapter_source(text: &str) -> Result<AdapterSource, String> {
    let mut all = AdapterSource::ALL.into_iter();
    all.find(|source| source.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            let names = AdapterSource::ALL.map(|source| source.to_string()).join(", ");
            format!("write one of {names}")
        })
}

/// Reads the name of an engine.
pub(super) fn engine(text: &str) -> Result<Engine, String> {
    let mut all = Engine::ALL.into_iter();
    all.find(|engine| engine.to_string().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            let names = Engine::ALL.map(|engine| engine.to_string()).join(", ");
            format!("write one of {names}")
        })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once("kubectl-bij").chain(words.split(' ')))
    }

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_flags_of_kubectl_stand_before_and_after_the_command() {
        for words in ["-n a --context b get x", "get x --namespace=a --context b"] {
            let arguments = parse(words).expect(words);
            assert_eq!(arguments.cluster.namespace.as_deref(), Some("a"));
            assert_eq!(arguments.cluster.context.as_deref(), Some("b"));
        }
    }

    #[test]
    fn an_empty_value_of_a_flag_is_none() {
        let cluster = parse("get x --namespace= --context= --kubeconfig=").unwrap().cluster;
        assert_eq!(
            (cluster.namespace(), cluster.context(), cluster.kubeconfig()),
            (None, None, None)
        );
        let cluster = parse("get x -n a --context b --kubeconfig c").unwrap().cluster;
        assert_eq!((cluster.namespace(), cluster.context()), (Some("a"), Some("b")));
        assert_eq!(cluster.kubeconfig(), Some(Path::new("c")));
    }

    const PAGE: &str = include_str!("../../../docs/plugin.md");

    #[test]
    fn every_command_is_on_the_page_and_every_command_of_the_page_is_one() {
        let program = Arguments::command();
        for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(
                PAGE.contains(&format!("`{}", command.get_name())),
                "{}",
                command.get_name()
            );
        }
        let page = PAGE.replace("\\\n", " ");
        let lines = page.lines().filter_map(|line| line.strip_prefix("    kubectl bij "));
        let lines: Vec<_> = lines.filter(|line| *line != "--help").collect();
        assert!(lines.len() > 3, "{lines:?}");
        for line in lines {
            let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
            parse(&words).expect(line);
        }
    }

    #[test]
    fn engines_are_known_by_their_names() {
        assert_eq!(
            (engine("llamacpp"), engine("VLLM")),
            (Ok(Engine::LlamaCpp), Ok(Engine::VLLM))
        );
        assert!(engine("x").unwrap_err().contains("LoRAX"));
        assert_eq!(adapter_source("hub"), Ok(AdapterSource::Hub));
        assert!(adapter_source("x").unwrap_err().contains("PBase"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for words in [
            "create",
            "create x --dataset a",
            "create x --model m",
            "create x --dataset-name n --dataset-uri s3://b/k --model m",
            "create x --dataset a --model m --output-uri s3://b/ --output-config-map n",
            "create -f job.yaml --dataset-uri s3://b/k",
            "create -f job.yaml --overwrite",
            "create x -f job.yaml",
            "create -f job.yaml --model m",
            "results",
            "results x --from folder",
            "results x --split",
            "validate a --served-model-name n",
            "validate a --adapters hub",
            "validate a --model m --adapters-location /adapters",
            "create x --dataset a --model m --output-uri s3://b/ --hf-token-secret name",
            "create x --dataset a --model m --output-uri s3://b/ --adapters-secret name",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
        for words in [
            "create -f job.yaml",
            "create -f job.yaml --dataset a --dataset-name n --overwrite",
            "create --dataset a --model m",
            "create x --dataset-name a --from-deployment d",
            "create x --dataset a --model m --output-uri s3://b/ --arg --max-model-len=1 --arg=-x",
            "results --from folder",
            "results x -o a --split",
            "list -A -n a",
        ] {
            parse(words).expect(words);
        }
    }
}
