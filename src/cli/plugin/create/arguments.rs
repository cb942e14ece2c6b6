//! What can be typed after `create`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::arguments::{Format, adapter_source, engine};
use crate::api::Engine;
use crate::api::adapters::AdapterSource;

/// Whether anything is really done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// It is.
    #[default]
    None,
    /// The job is only printed, as YAML by default. Nothing is uploaded, and no cluster is asked.
    Client,
    /// The API server checks the job and keeps nothing. Nothing is uploaded.
    Server,
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Name of the job. Default: the API server makes one, `batch-...`.
    #[arg(conflicts_with = "file")]
    pub name: Option<String>,
    /// A file with one job, as YAML or JSON; - is standard input. Instead of all flags that describe one but for those of the data set.
    #[arg(short = 'f', long = "filename", value_name = "FILE", conflicts_with = "JobFlags")]
    pub file: Option<PathBuf>,
    /// What the rows are.
    #[command(flatten)]
    pub rows: RowFlags,
    /// What the job is.
    #[command(flatten)]
    pub job: JobFlags,
    /// Replace an object that is already where the data set is uploaded to.
    #[arg(long, requires = "dataset")]
    pub overwrite: bool,
    /// Upload through a pod in the cluster, also when there are keys here: for a store that only the cluster reaches.
    #[arg(long, requires = "dataset")]
    pub via_cluster: bool,
    /// The operator's image, for a pod that takes the upload. Default: that of the namespace's newest job, else that of this program's
    /// version.
    #[arg(long, value_name = "IMAGE", requires = "dataset")]
    pub pod_image: Option<String>,
    /// Do nothing, and show what would be done.
    #[arg(long, value_enum, default_value_t)]
    pub dry_run: DryRun,
    /// How to print the job.
    #[arg(short, long, value_enum)]
    pub output: Option<Format>,
}

/// What the rows are.
#[derive(Clone, Debug, Default, Args)]
pub struct RowFlags {
    /// The rows: a file of this machine, which is uploaded to the namespace's default store (or to --dataset-uri), or where they are
    /// already (`s3://BUCKET/KEY`, `pvc://CLAIM/PATH`).
    #[arg(long, value_name = "FILE|URI", required_unless_present_any = ["file", "dataset_name"])]
    pub dataset: Option<String>,
    /// The data set's name in the namespace's default store (Secret `batch-inference-store`). Default, for a file: its own without .jsonl.
    #[arg(long, value_name = "NAME", conflicts_with = "dataset_uri")]
    pub dataset_name: Option<String>,
    /// Where to upload the data set, if not to the default store: `s3://BUCKET/KEY`.
    #[arg(long, value_name = "URI", requires = "dataset")]
    pub dataset_uri: Option<String>,
}

/// What the job is, in the words of its spec.
#[derive(Clone, Debug, Default, Args)]
pub struct JobFlags {
    /// Where the results go: `s3://BUCKET/PREFIX/`, `pvc://CLAIM/PATH/`. Default: a folder of the namespace's default store.
    #[arg(long, value_name = "URI")]
    pub output_uri: Option<String>,
    /// A ConfigMap for the results, if they are few (900 KiB).
    #[arg(long, value_name = "NAME", conflicts_with = "output_uri")]
    pub output_config_map: Option<String>,
    /// A Secret of the namespace with the keys of the stores (`AWS_ACCESS_KEY_ID`, ...), for --dataset, --dataset-uri and --output-uri.
    /// The upload takes them too, where the environment has none. The default store has its own.
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// A service account of the namespace that the stores know, instead of keys. The feeder runs under it, and an upload through the cluster.
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// The base model: a short name (qwen3-8b), a Hugging Face repository, or a path in the server's image.
    #[arg(long, required_unless_present_any = ["file", "from_deployment"])]
    pub model: Option<String>,
    /// A Deployment of the namespace that runs a model server: what is not given here is as it is there.
    #[arg(long, value_name = "NAME")]
    pub from_deployment: Option<String>,
    /// A branch, tag or commit of the model's repository.
    #[arg(long)]
    pub revision: Option<String>,
    /// The model server program: VLLM (default), SGLang, LoRAX, LlamaCpp.
    #[arg(long, value_parser = engine)]
    pub engine: Option<Engine>,
    /// Another name by which rows call the base model. May be given more than once.
    #[arg(long = "served-model-name", value_name = "NAME")]
    pub served_model_names: Vec<String>,
    /// Another tag of the engine's image.
    #[arg(long, value_name = "TAG")]
    pub image_tag: Option<String>,
    /// The key of a Secret with the Hugging Face token.
    #[arg(long, value_name = "NAME:KEY", value_parser = secret_key)]
    pub hf_token_secret: Option<SecretKey>,
    /// How the weights are quantized. Default: as the checkpoint is.
    #[arg(long)]
    pub quantization: Option<String>,
    /// The kind of node for the servers, by its name in the operator's settings: NAME or NAME:COUNT.
    #[arg(long, value_name = "NAME")]
    pub resource_profile: Option<String>,
    /// Rows may name LoRA adapters: where servers have them from. Hub, S3, Local or PBase.
    #[arg(long, value_name = "SOURCE", value_parser = adapter_source)]
    pub adapters: Option<AdapterSource>,
    /// What their names stand below: a directory in the server's container, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "DIRECTORY|URI", requires = "adapters")]
    pub adapters_location: Option<String>,
    /// The Secret that they are read with: for S3 keys of the store, for PBase `PREDIBASE_API_TOKEN`.
    #[arg(long, value_name = "NAME", requires = "adapters")]
    pub adapters_secret: Option<String>,
    /// How many servers run at a time.
    #[arg(long, value_name = "N")]
    pub replicas: Option<u32>,
    /// One more argument for the engine. May be given more than once: `--arg=--max-model-len=8192`.
    #[arg(long = "arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// What becomes of rows that cannot be run: Fail (default) or Skip.
    #[arg(long, value_name = "Fail|Skip")]
    pub invalid_rows: Option<String>,
    /// More failed rows, as a number or a share (10%), end the job.
    #[arg(long, value_name = "N|N%")]
    pub max_failed_rows: Option<String>,
    /// More tokens end the job.
    #[arg(long, value_name = "N")]
    pub max_total_tokens: Option<u64>,
    /// More of the tokens' cost ends the job: an amount such as 25.50.
    #[arg(long, value_name = "AMOUNT")]
    pub max_token_cost: Option<String>,
    /// More of the GPUs' cost ends the job.
    #[arg(long, value_name = "AMOUNT")]
    pub max_gpu_cost: Option<String>,
    /// The job ends after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    pub active_deadline_seconds: Option<u64>,
    /// The job is deleted so many seconds after its end; its output stays.
    #[arg(long, value_name = "SECONDS")]
    pub ttl_seconds_after_finished: Option<u64>,
    /// Create the job suspended.
    #[arg(long)]
    pub suspend: bool,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// The Secret.
    pub name: String,
    /// The key.
    pub key: String,
}

fn secret_key(text: &str) -> Result<SecretKey, String> {
    let (name, key) = text
        .split_once(':')
        .filter(|(name, key)| !name.is_empty() && !key.is_empty())
        .ok_or("write it as NAME:KEY, such as hf-token:token")?;
    Ok(SecretKey {
        name: name.to_owned(),
        key: key.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_secret_has_two_parts() {
        let key = SecretKey {
            name: "hf-token".into(),
            key: "token".into(),
        };
        assert_eq!(secret_key("hf-token:token"), Ok(key));
        for text in ["hf-token", ":token", "hf-token:"] {
            assert!(secret_key(text).is_err(), "{text}");
        }
    }
}
