//! What each command does.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio_util::sync::CancellationToken;

use super::arguments::{Arguments, Command, ControllerArguments, FeedArguments, FillModelCacheArguments};
use super::fetch_adapters::fetch_adapters;
use super::output::output;
use super::runtime;
use super::verify::{not_started, verify};
use crate::api::crd;
use crate::api::prices::Prices;
use crate::controller::api_server;
use crate::controller::run::run;
use crate::controller::settings::{ModelSettings, Settings};
use crate::feeder::chain;
use crate::{feeder, model_cache};

const NO_API_SERVER: &str = "failed to find the API server's address and credentials";

/// Runs what the arguments name. Logs go to standard error, data to standard output.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Crd => print_crd(),
        Command::Controller(arguments) => with_runtime(controller(arguments)),
        Command::Feed(arguments) => with_runtime(feed(arguments)),
        Command::FillModelCache(arguments) => with_runtime(fill_model_cache(arguments)),
        Command::FetchAdapters(arguments) => with_runtime(async { fetch_adapters(&arguments).await }),
        Command::Output(arguments) => with_runtime(async { Ok(output(&arguments, shutdown_signal()).await) }),
        Command::Verify(arguments) => {
            let checked = with_runtime(async { Ok(verify(&arguments).await) });
            Ok(checked.unwrap_or_else(|error| not_started(&error)))
        }
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!("{}", chain(error.as_ref()));
        ExitCode::FAILURE
    })
}

fn print_crd() -> anyhow::Result<ExitCode> {
    use std::io::Write;
    let manifest = crd::manifest().context("failed to write the definition as YAML")?;
    std::io::stdout()
        .write_all(manifest.as_bytes())
        .context("failed to write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn with_runtime<F: Future<Output = anyhow::Result<ExitCode>>>(work: F) -> anyhow::Result<ExitCode> {
    runtime::log_as_json();
    runtime::run(work)
}

async fn controller(arguments: ControllerArguments) -> anyhow::Result<ExitCode> {
    let config = kube::Config::infer().await.context(NO_API_SERVER)?;
    let client = api_server::client(config).context(NO_API_SERVER)?;
    let listen = arguments.listen;
    run(client, settings(arguments), listen, shutdown_signal()).await?;
    Ok(ExitCode::SUCCESS)
}

fn settings(arguments: ControllerArguments) -> Settings {
    Settings {
        feeder_image: arguments.feeder_image,
        feeder_lost_timeout: Duration::from_secs(arguments.feeder_lost_timeout_seconds.into()),
        extra_ingress: arguments.network_policy_extra_ingress.0,
        engines: arguments.engines.0,
        prices: Prices {
            currency: arguments.currency,
            per_million_tokens: arguments.price_per_million_tokens,
            per_gpu_hour: arguments.prices_per_gpu_hour.into_iter().collect(),
        },
        resource_profiles: arguments.resource_profiles.0,
        models: ModelSettings {
            catalog: arguments.models,
            max_parameters: arguments.max_base_model_parameters,
        },
        hub: arguments.hub,
    }
}

async fn feed(arguments: FeedArguments) -> anyhow::Result<ExitCode> {
    let client = api_client().await?;
    let arguments = feeder::Arguments {
        namespace: arguments.namespace,
        name: arguments.name,
        uid: arguments.uid,
        dataset_directory: arguments.dataset_directory,
        output_directory: arguments.output_directory,
        scratch: arguments.scratch,
        max_base_model_parameters: arguments.max_base_model_parameters,
    };
    let exit = Box::pin(feeder::run(arguments, client, shutdown_signal())).await;
    Ok(ExitCode::from(exit.code()))
}

async fn fill_model_cache(arguments: FillModelCacheArguments) -> anyhow::Result<ExitCode> {
    let client = api_client().await?;
    let arguments = model_cache::Arguments {
        namespace: arguments.namespace,
        name: arguments.name,
        uid: arguments.uid,
        directory: arguments.directory,
        max_base_model_parameters: arguments.max_base_model_parameters,
    };
    let exit = Box::pin(model_cache::run(arguments, client, shutdown_signal())).await;
    Ok(ExitCode::from(exit))
}

async fn api_client() -> anyhow::Result<kube::Client> {
    let client = kube::Client::try_default().await;
    client.context(NO_API_SERVER)
}

/// A token that is cancelled by SIGTERM or SIGINT.
fn shutdown_signal() -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let token = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let token = token.clone();
        match signal(kind) {
            Ok(mut stream) => {
                tokio::spawn(async move {
                    stream.recv().await;
                    token.cancel();
                });
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "signal not handled"),
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_the_settings_have_it() {
        let given = ["batch-inference-operator", "controller", "--feeder-image=operator:1"];
        let arguments = Arguments::try_parse_from(given).expect("arguments");
        let Command::Controller(arguments) = arguments.command else {
            panic!("another command");
        };
        assert_eq!(settings(arguments), Settings::new("operator:1"));
    }
}
