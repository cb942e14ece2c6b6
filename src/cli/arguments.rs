//! What can be typed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use k8s_openapi::api::networking::v1::NetworkPolicyIngressRule;

use super::fetch_adapters::FetchAdaptersArguments;
use super::output::OutputArguments;
use crate::api::Engine;
use crate::api::amount::Amount;
use crate::api::names::{DATASET_MOUNT_PATH, MODEL_CACHE_MOUNT_PATH, OUTPUT_MOUNT_PATH, SCRATCH_MOUNT_PATH};
use crate::api::prices::Prices;
use crate::controller::resource_profile::ResourceProfile;
use crate::controller::settings::{DEFAULT_MAX_PARAMETERS, EngineSettings, FEEDER_LOST_TIMEOUT_SECONDS, HubSettings};
use crate::engine::Catalog;

/// Runs batch inference jobs on GPUs that exist only for the job.
#[derive(Debug, Parser)]
#[command(name = "batch-inference-operator", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller: the part that watches `BatchInferenceJobs`.
    Controller(ControllerArguments),
    /// Run the feeder of one job. The controller starts it in a pod; there is no need to start it by hand.
    Feed(FeedArguments),
    /// Fill the model cache of one job. The controller starts it in a pod; there is no need to start it by hand.
    FillModelCache(FillModelCacheArguments),
    /// Prove a finished output against its data set, and say what differs. Exit code 0: proven; 1: not proven; 2: could not
    /// be checked.
    Verify(VerifyArguments),
    /// Give and take the objects of a store for `kubectl bij`, which runs this in a pod of its own.
    #[command(hide = true)]
    Output(OutputArguments),
    /// Put adapters of a store into a directory. An init container of servers runs it.
    #[command(hide = true)]
    FetchAdapters(FetchAdaptersArguments),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// Arguments of the check. A store is opened with the keys of the environment (`AWS_ACCESS_KEY_ID`, `AZURE_STORAGE_ACCOUNT_NAME`,
/// `HF_TOKEN` and so on; for two different stores of a kind, with `DATASET_` or `OUTPUT_` before each).
#[derive(Debug, clap::Args)]
pub struct VerifyArguments {
    /// The data set: its s3://, gs://, az://, https:// or hf:// URI, or the path of a file.
    #[arg(long, value_name = "URI")]
    pub dataset: String,
    /// What the job left: its s3://, gs:// or az:// URI, or the path of a folder.
    #[arg(long, value_name = "URI")]
    pub output: String,
}

/// Arguments of the controller.
#[derive(Debug, clap::Args)]
pub struct ControllerArguments {
    /// Image of the feeder: the operator's own.
    #[arg(long, env = "FEEDER_IMAGE")]
    pub feeder_image: String,
    /// What servers of an engine have that their jobs need not say, as a JSON object such as
    /// `{"VLLM":{"image":"registry.example/vllm:v1","pullSecrets":[{"name":"registry"}],"env":[{"name":"HTTPS_PROXY","value":"..."}]}}`.
    #[arg(long, default_value = "{}", value_name = "JSON", value_parser = engines)]
    pub engines: Engines,
    /// The kinds of nodes that jobs may name for their servers, as a JSON object such as
    /// `{"nvidia-gpu-l4":{"resources":{"limits":{"nvidia.com/gpu":1}},"deviceMemory":"24Gi","nodeSelector":{"gpu":"l4"}}}`.
    #[arg(long, default_value = "{}", value_name = "JSON", value_parser = resource_profiles)]
    pub resource_profiles: ResourceProfiles,
    /// More short names of models, as a JSON object such as
    /// `{"our-model":{"repository":"org/our-model","parameters":8190735360,"architecture":"qwen3"}}`; one that is built in is replaced.
    #[arg(long, default_value = "{}", value_name = "JSON", value_parser = models)]
    pub models: Catalog,
    /// The most parameters that a base model may have.
    #[arg(long, default_value_t = DEFAULT_MAX_PARAMETERS, value_name = "NUMBER")]
    pub max_base_model_parameters: u64,
    /// How feeders and servers reach the Hugging Face Hub, as a JSON object such as
    /// `{"endpoint":"https://hub.example","httpsProxy":"http://proxy.example:3128","noProxy":".example","caConfigMap":{"name":"ca","key":"ca.crt"}}`.
    #[arg(long, default_value = "{}", value_name = "JSON", value_parser = hub)]
    pub hub: HubSettings,
    /// A feeder that is gone for so many seconds gives its servers back until it runs again.
    #[arg(long, default_value_t = FEEDER_LOST_TIMEOUT_SECONDS, value_name = "SECONDS")]
    pub feeder_lost_timeout_seconds: u32,
    /// Who may talk to the servers besides their own feeder, as a JSON list of `NetworkPolicy` ingress rules.
    #[arg(long, default_value = "[]", value_name = "JSON", value_parser = ingress_rules)]
    pub network_policy_extra_ingress: IngressRules,
    /// The currency of prices, in three capital letters (ISO 4217).
    #[arg(long, default_value_t = Prices::default().currency, value_name = "CODE", value_parser = currency)]
    pub currency: String,
    /// What a million tokens cost, those of prompts and those of answers alike.
    #[arg(long, default_value_t = Prices::default().per_million_tokens, value_name = "AMOUNT")]
    pub price_per_million_tokens: Amount,
    /// What an hour of a device costs, such as `nvidia.com/gpu=2.50`. May be given more than once. Devices without a price are not
    /// counted in costs.
    #[arg(long = "price-per-gpu-hour", value_name = "RESOURCE=AMOUNT", value_parser = device_price)]
    pub prices_per_gpu_hour: Vec<(String, Amount)>,
    /// Where to serve /healthz, /readyz and /metrics.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

/// Arguments of the feeder.
#[derive(Debug, clap::Args)]
pub struct FeedArguments {
    /// Namespace of the job.
    #[arg(long)]
    pub namespace: String,
    /// Name of the job.
    #[arg(long)]
    pub name: String,
    /// Uid of the job: a later job of the same name is another job.
    #[arg(long)]
    pub uid: String,
    /// Where a claim or ConfigMap with the data set is mounted.
    #[arg(long, default_value = DATASET_MOUNT_PATH)]
    pub dataset_directory: PathBuf,
    /// Where a claim for the output is mounted.
    #[arg(long, default_value = OUTPUT_MOUNT_PATH)]
    pub output_directory: PathBuf,
    /// Scratch directory.
    #[arg(long, default_value = SCRATCH_MOUNT_PATH)]
    pub scratch: PathBuf,
    /// The most parameters that the base model may have.
    #[arg(long, default_value_t = DEFAULT_MAX_PARAMETERS, value_name = "NUMBER")]
    pub max_base_model_parameters: u64,
}

/// Arguments of the filling of a model cache.
#[derive(Debug, clap::Args)]
pub struct FillModelCacheArguments {
    /// Namespace of the job.
    #[arg(long)]
    pub namespace: String,
    /// Name of the job.
    #[arg(long)]
    pub name: String,
    /// Uid of the job: a later job of the same name is another job.
    #[arg(long)]
    pub uid: String,
    /// Where the claim is mounted.
    #[arg(long, default_value = MODEL_CACHE_MOUNT_PATH)]
    pub directory: PathBuf,
    /// The most parameters that the model may have.
    #[arg(long, default_value_t = DEFAULT_MAX_PARAMETERS, value_name = "NUMBER")]
    pub max_base_model_parameters: u64,
}

/// Rules of one argument.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngressRules(pub Vec<NetworkPolicyIngressRule>);

fn ingress_rules(text: &str) -> Result<IngressRules, String> {
    let rules = serde_json::from_str(text).map_err(|error| {
        format!("write it as a JSON list of NetworkPolicy ingress rules, such as [{{\"from\":[...]}}]: {error}")
    })?;
    Ok(IngressRules(rules))
}

/// Engines of one argument.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Engines(pub BTreeMap<Engine, EngineSettings>);

fn engines(text: &str) -> Result<Engines, String> {
    let engines = serde_json::from_str(text).map_err(|error| {
        let known = Engine::ALL.map(|engine| engine.to_string()).join(", ");
        format!(
            "write it as a JSON object with an engine's name (one of {known}) for each of image, pullSecrets and env, such as \
             {{\"VLLM\":{{\"image\":\"...\"}}}}: {error}"
        )
    })?;
    Ok(Engines(engines))
}

fn currency(text: &str) -> Result<String, String> {
    if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err("write it in three capital letters (ISO 4217), such as USD".into());
    }
    Ok(text.to_owned())
}

fn device_price(text: &str) -> Result<(String, Amount), String> {
    let (resource, price) = text
        .split_once('=')
        .filter(|(resource, _)| resource.contains('/'))
        .ok_or("write it as RESOURCE=AMOUNT, such as nvidia.com/gpu=2.50")?;
    let price = price.parse::<Amount>().map_err(|error| error.to_string())?;
    Ok((resource.to_owned(), price))
}

/// Profiles of one argument.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResourceProfiles(pub BTreeMap<String, ResourceProfile>);

fn resource_profiles(text: &str) -> Result<ResourceProfiles, String> {
    let profiles = serde_json::from_str(text).map_err(|error| {
        format!(
            "write it as a JSON object with a profile's name for each of resources, deviceMemory, nodeSelector, tolerations, \
             runtimeClassName and image, such as {{\"nvidia-gpu-l4\":{{\"resources\":{{\"limits\":{{\"nvidia.com/gpu\":1}}}}}}}}: {error}"
        )
    })?;
    Ok(ResourceProfiles(profiles))
}

fn models(text: &str) -> Result<Catalog, String> {
    let entries = serde_json::from_str(text).map_err(|error| {
        format!(
            "write it as a JSON object with a short name for each of repository, parameters, architecture, contextLength, gated and \
             gguf, of which the first two are needed: {error}"
        )
    })?;
    let catalog = Catalog::built_in().clone().with(entries);
    catalog.map_err(|error| error.to_string())
}

fn hub(text: &str) -> Result<HubSettings, String> {
    serde_json::from_str(text).map_err(|error| {
        format!("write it as a JSON object with endpoint, httpsProxy, noProxy and caConfigMap: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ingress_rules_are_a_list() {
        assert_eq!(ingress_rules("[]"), Ok(IngressRules::default()));
        let rules = ingress_rules(r#"[{"from":[{"namespaceSelector":{}}]}]"#).expect("rules");
        assert!(rules.0[0].from.is_some());
        assert!(ingress_rules("{}").is_err());
    }

    #[test]
    fn a_profile_is_read_or_refused() {
        assert_eq!(resource_profiles("{}"), Ok(ResourceProfiles::default()));
        let read = resource_profiles(r#"{"l4":{"deviceMemory":"24Gi","image":{"VLLM":"a:b"}}}"#)
            .expect("profiles")
            .0;
        assert_eq!(read["l4"].device_memory, Some(24 << 30));
        for text in [r#"{"l4":{"memory":"24Gi"}}"#, r#"{"l4":{"deviceMemory":"much"}}"#, "[]"] {
            assert!(resource_profiles(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_engine_has_image_pull_secrets_and_env() {
        assert_eq!(engines("{}"), Ok(Engines::default()));
        let read = engines(
            r#"{"LlamaCpp":{"image":"a:b","pullSecrets":[{"name":"registry"}],"env":[{"name":"LEVEL","value":"1"}]},"SGLang":{}}"#,
        );
        let read = read.expect("engines").0;
        let llama_cpp = &read[&Engine::LlamaCpp];
        assert_eq!(llama_cpp.image.as_deref(), Some("a:b"));
        assert_eq!((llama_cpp.pull_secrets.len(), llama_cpp.env.len()), (1, 1));
        assert_eq!(read[&Engine::SGLang], EngineSettings::default());
        for text in [
            r#"{"vllm":{}}"#,
            r#"{"VLLM":{"imagee":"a:b"}}"#,
            r#"{"VLLM":"a:b"}"#,
            "[]",
        ] {
            assert!(engines(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prices_are_read_or_refused() {
        let arguments = |more: &[&str]| {
            let given = ["batch-inference-operator", "controller", "--feeder-image=i"]
                .iter()
                .chain(more);
            match Arguments::try_parse_from(given) {
                Ok(Arguments {
                    command: Command::Controller(arguments),
                }) => Ok(arguments),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error.to_string()),
            }
        };
        let given = [
            "--currency=EUR",
            "--price-per-million-tokens=0",
            "--price-per-gpu-hour=nvidia.com/gpu=2.5",
            "--price-per-gpu-hour=amd.com/gpu=1",
        ];
        let given = arguments(&given).expect("arguments");
        let prices: Vec<_> = given
            .prices_per_gpu_hour
            .iter()
            .map(|(name, price)| format!("{name} {price}"))
            .collect();
        assert_eq!(
            (given.currency.as_str(), given.price_per_million_tokens.to_string()),
            ("EUR", "0.00".into())
        );
        assert_eq!(prices, ["nvidia.com/gpu 2.50", "amd.com/gpu 1.00"]);
        for (wrong, says) in [
            ("--currency=dollars", "three capital letters"),
            ("--price-per-million-tokens=5e-1", "`5e-1` is no amount of money"),
            ("--price-per-gpu-hour=2.50", "such as nvidia.com/gpu=2.50"),
            ("--price-per-gpu-hour=gpu=2.50", "such as nvidia.com/gpu=2.50"),
            ("--price-per-gpu-hour=nvidia.com/gpu=", "`` is no amount of money"),
        ] {
            let error = arguments(&[wrong]).expect_err(wrong);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn models_are_added_to_the_built_in_ones() {
        assert_eq!(models("{}").as_ref(), Ok(Catalog::built_in()));
        let catalog = models(
            r#"{"our":{"repository":"org/our","parameters":1,"contextLength":8,"gguf":{"repository":"org/our-GGUF"}}}"#,
        );
        let catalog = catalog.expect("a catalog");
        assert!(catalog.entry("our").is_some() && catalog.entry("qwen3-8b").is_some());
        for text in [
            "[]",
            r#"{"our":{"repository":"org/our"}}"#,
            r#"{"our":{"repository":"our","parameters":1}}"#,
            r#"{"our":{"repository":"org/our","parameters":1,"gatet":true}}"#,
        ] {
            assert!(models(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hub_has_an_address_a_proxy_and_certificates() {
        assert_eq!(hub("{}"), Ok(HubSettings::default()));
        let read =
            hub(r#"{"endpoint":"https://hub.example","caConfigMap":{"name":"ca","key":"ca.crt"}}"#).expect("a hub");
        assert_eq!(read.endpoint.as_deref(), Some("https://hub.example"));
        assert!(read.ca_config_map.is_some_and(|reference| reference.key == "ca.crt"));
        assert!(hub(r#"{"proxy":"http://proxy.example"}"#).is_err());
    }
}
