//! What servers are told of the adapters that rows name, once the feeder has read them: as with a revision, before any server exists. Pure,
//! a part of [`super::validate`].
//!
//! The feeder reports the adapters before, or together with, its need of servers. What was made of that stays.

use k8s_openapi::api::core::v1::{Container, EnvVar};

use super::server_conflicts::names;
use super::variables;
use crate::api::BatchInferenceJob;
use crate::api::adapters::{AdapterSource, AdaptersSpec};
use crate::api::names::ADAPTER_API_TOKEN_ENV;
use crate::api::reason::Reason;
use crate::api::server::ServerSpec;
use crate::api::status::{AdaptersStatus, Resolved};
use crate::api::wait::Wait;
use crate::engine::adapters::{
    AdapterNames, FoundAdapters, PREDIBASE_TOKEN, are_fetched, env, fighting, keys, options, place,
};
use crate::engine::conflicts::Place;
use crate::engine::{Devices, Version};

/// What the feeder has found.
pub(super) fn told(job: &BatchInferenceJob) -> Option<&AdaptersStatus> {
    job.status.as_ref()?.reported.adapters.as_ref()
}

/// What was resolved, with the engine's options for the adapters that rows name in front of a person's arguments.
pub(super) fn equipped(
    mut resolved: Resolved,
    server: &ServerSpec,
    devices: Devices,
    told: Option<&AdaptersStatus>,
) -> Resolved {
    let (Some(adapters), Some(told)) = (&server.adapters, told) else {
        return resolved;
    };
    if told.count < 1 || !resolved.adapter_args.is_empty() {
        return resolved;
    }
    resolved.adapter_args = options(resolved.engine, &found(&resolved, adapters, devices, told));
    let at = resolved.args.len().saturating_sub(server.args.len());
    resolved.args.splice(at..at, resolved.adapter_args.iter().cloned());
    resolved
}

fn found(resolved: &Resolved, adapters: &AdaptersSpec, devices: Devices, told: &AdaptersStatus) -> FoundAdapters {
    let rank = adapters.max_rank.map(i64::from).or(told.max_rank);
    FoundAdapters {
        count: u32::try_from(told.count).unwrap_or(u32::MAX),
        max_rank: rank.and_then(|rank| u32::try_from(rank).ok()),
        paths: paths(adapters, told)
            .iter()
            .map(|path| place(resolved.engine, adapters.source, path))
            .collect(),
        version: Version::of(resolved.engine, &resolved.image),
        devices,
    }
}

/// Where those are that can be used.
fn paths(adapters: &AdaptersSpec, told: &AdaptersStatus) -> Vec<String> {
    let names = AdapterNames::new(adapters.clone());
    let there = told.most_used.iter().filter(|adapter| adapter.error.is_none());
    there.filter_map(|adapter| names.path(&adapter.name)).collect()
}

/// The addresses of adapters that are fetched before a server starts, as its engine cannot fetch them.
pub(super) fn fetched(server: &ServerSpec, told: Option<&AdaptersStatus>) -> Vec<String> {
    let (Some(adapters), Some(told)) = (&server.adapters, told) else {
        return Vec::new();
    };
    if !are_fetched(server.engine, adapters.source) {
        return Vec::new();
    }
    paths(adapters, told)
}

/// Refuses arguments and variables that say which adapters servers have, beside the field that does: of the job, of the template's container
/// `server`, and of the installation.
pub(super) fn refuse_conflict(
    server: &ServerSpec,
    container: Option<&Container>,
    installation: &[EnvVar],
) -> Result<(), Wait> {
    if server.adapters.is_none() {
        return Ok(());
    }
    let engine = server.engine;
    let of_template = container.and_then(|container| container.env.as_deref());
    let mut of_installation = names(installation);
    // The Secret of the job goes before it.
    of_installation.retain(|name| *name != PREDIBASE_TOKEN);
    let given = [
        ("spec.server.args or env", server.args.as_slice(), names(&server.env)),
        (
            Place::PodTemplate.words(),
            &[][..],
            names(of_template.unwrap_or_default()),
        ),
        (Place::Installation.words(), &[][..], of_installation),
    ];
    let mut conflicts = given
        .iter()
        .filter_map(|(place, args, env)| Some((place, fighting(engine, args, env)?)));
    let Some((place, written)) = conflicts.next() else {
        return Ok(());
    };
    let message = format!("{place} has {written}: write adapters in spec.server.adapters, and nowhere else");
    Err(Wait::new(Reason::EngineFieldConflict, message))
}

/// The variables of servers that are told these `options` of adapters.
pub(super) fn own_env(server: &ServerSpec, options: &[String]) -> Vec<EnvVar> {
    let Some(adapters) = &server.adapters else {
        return Vec::new();
    };
    let values = env(server.engine, adapters.source, options).into_iter();
    values.map(|(name, value)| variables::value(name, value)).collect()
}

/// The keys that servers need for adapters.
pub(super) fn server_env(server: &ServerSpec) -> impl Iterator<Item = EnvVar> {
    let secret = server.adapters.as_ref().and_then(|adapters| {
        let reference = adapters.credentials_secret_ref.as_ref()?;
        let is_read_by_engine = !are_fetched(server.engine, adapters.source);
        is_read_by_engine.then_some((adapters.source, &reference.name))
    });
    secret.into_iter().flat_map(|(source, secret)| {
        let keys = keys(source).iter();
        keys.map(move |variable| {
            variables::key(
                variable.name,
                secret,
                variable.key,
                variable.is_optional.then_some(true),
            )
        })
    })
}

/// The Secret with the keys of a store that adapters are in, by which the feeder looks whether they are there.
pub(super) fn feeder_keys(job: &BatchInferenceJob) -> Option<&str> {
    let adapters = job.spec.server.as_ref()?.adapters.as_ref()?;
    let secret = adapters.credentials_secret_ref.as_ref()?;
    (adapters.source == AdapterSource::S3).then_some(secret.name.as_str())
}

/// The token that requests for adapters carry: LoRAX loads one of Predibase with the token of the request alone
/// (predibase/lorax, `server/lorax_server/server.py`, `LoadAdapter`).
pub(super) fn feeder_env(job: &BatchInferenceJob) -> Option<EnvVar> {
    let adapters = job.spec.server.as_ref()?.adapters.as_ref()?;
    let secret = adapters.credentials_secret_ref.as_ref()?;
    (adapters.source == AdapterSource::PBase)
        .then(|| variables::key(ADAPTER_API_TOKEN_ENV, &secret.name, PREDIBASE_TOKEN, None))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::status::AdapterStatus;
    use crate::engine::Engine;

    fn server(adapters: serde_json::Value, args: &[&str]) -> ServerSpec {
        let server = json!({"baseModel": "org/model", "adapters": adapters, "args": args});
        serde_json::from_value(server).expect("a server")
    }

    fn resolved(engine: Engine, args: &[&str]) -> Resolved {
        Resolved {
            engine,
            image: engine
                .default_image()
                .map(|image| image.to_string())
                .unwrap_or_default(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            ..Resolved::default()
        }
    }

    fn told(names: &[&str], max_rank: Option<i64>) -> AdaptersStatus {
        let adapter = |name: &&str| AdapterStatus {
            name: (*name).to_owned(),
            rows: 1,
            ..AdapterStatus::default()
        };
        AdaptersStatus {
            count: i64::try_from(names.len()).expect("few"),
            max_rank,
            most_used: names.iter().map(adapter).collect(),
        }
    }

    #[test]
    fn options_for_adapters_stand_before_a_person_s_arguments_and_stay() {
        let server = server(json!({}), &["--max-loras", "1"]);
        let before = resolved(Engine::VLLM, &["org/model", "--max-loras", "1"]);
        let after = equipped(
            before.clone(),
            &server,
            Devices::Counted(1),
            Some(&told(&["org/a", "org/b"], Some(16))),
        );
        assert_eq!(
            after.args.join(" "),
            "org/model --enable-lora --max-loras 2 --max-cpu-loras 64 --max-lora-rank 16 --api-server-count 1 --max-loras 1"
        );
        let later = equipped(
            after.clone(),
            &server,
            Devices::Counted(1),
            Some(&told(&["org/a"], None)),
        );
        assert_eq!(later, after);
        assert_eq!(equipped(before.clone(), &server, Devices::Counted(1), None), before);
        assert_eq!(
            equipped(before.clone(), &server, Devices::Counted(1), Some(&told(&[], None))),
            before
        );
    }

    #[test]
    fn a_deployment_s_image_is_told_what_its_version_knows() {
        let server = json!({"from": {"deployment": {"name": "vllm"}}, "baseModel": "org/model", "adapters": {}});
        let server: ServerSpec = serde_json::from_value(server).expect("a server");
        for (image, more) in [
            ("vllm/vllm-openai:v0.6.0", ""),
            ("vllm/vllm-openai:v0.30.0", " --api-server-count 1"),
        ] {
            let before = Resolved {
                image: image.to_owned(),
                ..resolved(Engine::VLLM, &[])
            };
            let after = equipped(before, &server, Devices::Counted(1), Some(&told(&["org/a"], Some(8))));
            assert_eq!(
                after.args.join(" "),
                format!("--enable-lora --max-loras 1 --max-cpu-loras 64 --max-lora-rank 8{more}"),
                "{image}"
            );
        }
    }

    #[test]
    fn a_job_without_adapters_is_told_of_none() {
        let server: ServerSpec = serde_json::from_value(json!({"baseModel": "org/model"})).expect("a server");
        let before = resolved(Engine::VLLM, &["org/model"]);
        assert_eq!(
            equipped(
                before.clone(),
                &server,
                Devices::Counted(1),
                Some(&told(&["org/a"], None))
            ),
            before
        );
    }

    #[test]
    fn the_rank_of_the_spec_goes_before_what_the_hub_tells() {
        let server = server(json!({"maxRank": 100}), &[]);
        let equipped = equipped(
            resolved(Engine::VLLM, &[]),
            &server,
            Devices::Counted(1),
            Some(&told(&["org/a"], Some(8))),
        );
        let args = equipped.args.join(" ");
        assert!(args.contains("--max-lora-rank 128"), "{args}");
    }

    #[test]
    fn llama_server_has_the_files_from_its_start_on_but_for_those_that_are_not_there() {
        let server = server(json!({"source": "Local", "location": "/adapters"}), &[]);
        let mut told = told(&["b.gguf", "a.gguf", "missing.gguf"], None);
        told.most_used[2].error = Some("no".into());
        let equipped = equipped(
            resolved(Engine::LlamaCpp, &[]),
            &server,
            Devices::Counted(1),
            Some(&told),
        );
        assert_eq!(
            equipped.args,
            [
                "--lora-scaled",
                "/adapters/b.gguf:0,/adapters/a.gguf:0",
                "--no-cache-prompt"
            ]
        );
    }

    #[test]
    fn adapters_are_said_once() {
        for (args, env, is_refused) in [
            (&["--lora-modules", "a=b"][..], &[][..], true),
            (&["--enable-lora"], &[], false),
            (&["--max-loras", "4"], &["VLLM_USE_V1"], false),
        ] {
            let mut server = server(json!({}), args);
            server.env = env.iter().map(|name| variables::key(name, "s", "k", None)).collect();
            assert_eq!(refuse_conflict(&server, None, &[]).is_err(), is_refused, "{args:?}");
            server.adapters = None;
            assert_eq!(refuse_conflict(&server, None, &[]), Ok(()));
        }
    }

    #[test]
    fn variables_of_the_template_and_the_installation_do_not_say_them_either() {
        let server = ServerSpec {
            engine: Engine::LoRAX,
            ..server(
                json!({"source": "PBase", "credentialsSecretRef": {"name": "keys"}}),
                &[],
            )
        };
        let variable = |name: &str| variables::value(name, "x");
        let container = |name: &str| Container {
            env: Some(vec![variable(name)]),
            ..Container::default()
        };
        for (of_template, of_installation, place) in [
            ("ADAPTER_ID", "A", Some("of spec.server.podTemplate has ADAPTER_ID")),
            (
                PREDIBASE_TOKEN,
                "A",
                Some("of spec.server.podTemplate has PREDIBASE_API_TOKEN"),
            ),
            (
                "A",
                "PRELOADED_ADAPTER_IDS",
                Some("has PRELOADED_ADAPTER_IDS: write adapters in"),
            ),
            ("A", PREDIBASE_TOKEN, None),
        ] {
            let refusal = refuse_conflict(&server, Some(&container(of_template)), &[variable(of_installation)]);
            let message = refusal.err().map(|wait| wait.message);
            match (&message, place) {
                (Some(message), Some(place)) => assert!(message.contains(place), "{message}"),
                _ => assert_eq!(message.is_some(), place.is_some(), "{of_template} {of_installation}"),
            }
        }
    }

    #[test]
    fn keys_are_those_of_the_source_and_rows_carry_the_token_of_predibase_alone() {
        let names = |adapters: serde_json::Value| {
            let server = ServerSpec {
                engine: Engine::LoRAX,
                ..server(adapters, &[])
            };
            let of_servers: Vec<_> = server_env(&server).map(|variable| variable.name).collect();
            let mut job = BatchInferenceJob::new("job", crate::api::BatchInferenceJobSpec::default());
            job.spec.server = Some(server);
            (of_servers, feeder_env(&job).map(|variable| variable.name))
        };
        let secret = json!({"name": "keys"});
        let (servers, feeder) = names(json!({"source": "S3", "credentialsSecretRef": secret}));
        assert!(servers.contains(&"AWS_ACCESS_KEY_ID".to_owned()), "{servers:?}");
        assert_eq!(feeder, None);
        let (servers, feeder) = names(json!({"source": "PBase", "credentialsSecretRef": secret}));
        assert_eq!(servers[0], "PREDIBASE_API_TOKEN");
        assert_eq!(feeder.as_deref(), Some(ADAPTER_API_TOKEN_ENV));
        assert_eq!(names(json!({})), (Vec::new(), None));
    }
}
