//! A small hub, and what is made of what it says of adapters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::api::adapters::AdaptersSpec;
use crate::storage::loopback::serve;

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";

type Answers = Arc<BTreeMap<String, (StatusCode, String)>>;

async fn answer(State(answers): State<Answers>, request: Request) -> Response {
    match answers.get(request.uri().path()) {
        Some((status, body)) if status.is_success() => (*status, body.clone()).into_response(),
        Some((status, said)) => (*status, [("X-Error-Message", said.as_str())]).into_response(),
        None => (StatusCode::NOT_FOUND, [("X-Error-Code", "RepoNotFound")]).into_response(),
    }
}

/// A hub with these answers, as one who asks it for vLLM.
async fn hub(answers: &[(&str, StatusCode, Value)]) -> AdapterCheck {
    let answers = answers
        .iter()
        .map(|(path, status, body)| ((*path).to_owned(), (*status, body.to_string())));
    let router = axum::Router::new()
        .fallback(answer)
        .with_state(Answers::new(answers.collect()));
    let address = format!("http://{}", serve(router).await);
    let environment = [("MODEL_HF_ENDPOINT".to_owned(), address)];
    AdapterCheck {
        origin: Origin::Hub(ModelHub::open(&Credentials::from_env(Side::Model, environment)).unwrap()),
        engine: Engine::VLLM,
        version: Version::of(Engine::VLLM, "vllm/vllm-openai:v0.32.0"),
        max_rank: Some(512),
        is_token_unknown: false,
    }
}

fn adapters(names: &[&str]) -> Vec<Known> {
    let adapter = |name: &&str| Known {
        name: (*name).into(),
        path: (*name).to_owned(),
        rows: 1,
        revision: None,
        rank: None,
        bad: None,
    };
    names.iter().map(adapter).collect()
}

fn repository(files: &[&str]) -> Value {
    let files: Vec<_> = files.iter().map(|file| json!({"rfilename": file})).collect();
    json!({"sha": COMMIT, "siblings": files})
}

#[tokio::test]
async fn each_adapter_is_told_with_its_commit_its_rank_or_what_is_wrong() {
    let of = |name: &str| format!("/api/models/org/{name}/revision/main");
    let config = |name: &str| format!("/org/{name}/resolve/{COMMIT}/adapter_config.json");
    let adapter = repository(&["adapter_config.json", "adapter_model.safetensors"]);
    let ok = StatusCode::OK;
    let check = hub(&[
        (&of("sql"), ok, adapter.clone()),
        (&config("sql"), ok, json!({"peft_type": "LORA", "r": 16})),
        (&of("large"), ok, adapter.clone()),
        (&config("large"), ok, json!({"peft_type": "LORA", "r": 1024})),
        (&of("model"), ok, repository(&["config.json", "model.safetensors"])),
        (&of("hollow"), ok, repository(&["adapter_config.json", "README.md"])),
        (&of("gated"), ok, adapter),
        (&config("gated"), StatusCode::FORBIDDEN, json!("access is restricted")),
    ])
    .await;
    let names = [
        "org/sql",
        "org/large",
        "org/model",
        "org/hollow",
        "org/gated",
        "org/missing",
    ];
    let (told, silence) = check.ask(adapters(&names)).await;
    assert_eq!(silence, None);
    assert_eq!((told[0].revision.as_deref(), told[0].rank), (Some(COMMIT), Some(16)));
    assert_eq!(told[0].bad, None);
    for (adapter, words) in told[1..].iter().zip([
        "its rank is 1024",
        "so it is no adapter",
        "has no weights",
        "name a token that may read it",
        "has none (404",
    ]) {
        let bad = adapter.bad.as_ref().expect("it cannot be used");
        assert!(bad.message.contains(words), "{}: {}", adapter.name, bad.message);
    }
}

/// Another version, or another image, may load it.
#[tokio::test]
async fn only_the_operator_s_own_version_of_vllm_is_certain_not_to_load_dora() {
    let config = format!("/org/dora/resolve/{COMMIT}/adapter_config.json");
    let files = repository(&["adapter_config.json", "adapter_model.safetensors"]);
    let answers = [
        ("/api/models/org/dora/revision/main", StatusCode::OK, files),
        (config.as_str(), StatusCode::OK, json!({"r": 16, "use_dora": true})),
    ];
    for (image, is_refused) in [("vllm/vllm-openai:v0.32.0", true), ("vllm/vllm-openai:v0.33.0", false)] {
        let check = AdapterCheck {
            version: Version::of(Engine::VLLM, image),
            ..hub(&answers).await
        };
        let (told, silence) = check.ask(adapters(&["org/dora"])).await;
        assert_eq!(silence, None, "{image}");
        assert_eq!(told[0].bad.is_some(), is_refused, "{image}: {:?}", told[0].bad);
    }
}

#[tokio::test]
async fn a_hub_that_does_not_say_leaves_adapters_to_the_servers() {
    let path = "/api/models/org/sql/revision/main";
    let check = hub(&[(path, StatusCode::PROXY_AUTHENTICATION_REQUIRED, json!(null))]).await;
    let before = adapters(&["org/sql", "org/chat"]);
    let (told, silence) = check.ask(before.clone()).await;
    assert_eq!(told, before);
    let words = silence.expect("a warning");
    assert!(
        words.contains("could not be asked of the adapters") && words.contains("407"),
        "{words}"
    );
}

/// `envFrom` of the servers may have one: the feeder does not read it.
#[tokio::test]
async fn what_a_token_that_is_not_known_here_may_open_is_left_to_the_servers() {
    let path = "/api/models/org/gated/revision/main";
    for (answers, name) in [
        (vec![], "org/private"),
        (vec![(path, StatusCode::FORBIDDEN, json!({}))], "org/gated"),
    ] {
        let check = AdapterCheck {
            is_token_unknown: true,
            ..hub(&answers).await
        };
        let before = adapters(&[name]);
        let (told, silence) = check.ask(before.clone()).await;
        assert_eq!(told, before);
        assert!(silence.is_some(), "{name}");
    }
}

/// A store that has nothing, and lets in nobody who asks for `secret.gguf`.
async fn store(servers: ServersKeys) -> AdapterCheck {
    async fn answer(request: Request) -> StatusCode {
        match request.uri().path() {
            path if path.ends_with("secret.gguf") => StatusCode::FORBIDDEN,
            _ => StatusCode::NOT_FOUND,
        }
    }
    let address = format!("http://{}", serve(axum::Router::new().fallback(answer)).await);
    let environment = [
        ("ADAPTERS_AWS_ENDPOINT_URL", address.as_str()),
        ("ADAPTERS_AWS_ACCESS_KEY_ID", "id"),
        ("ADAPTERS_AWS_SECRET_ACCESS_KEY", "key"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let spec = AdaptersSpec {
        source: AdapterSource::S3,
        location: Some("s3://bucket/loras".to_owned()),
        ..AdaptersSpec::default()
    };
    AdapterCheck {
        origin: Origin::Store {
            credentials: Credentials::from_env(Side::Adapters, environment),
            names: AdapterNames::new(spec),
            servers,
        },
        engine: Engine::LlamaCpp,
        version: Version::of(Engine::LlamaCpp, "own:1"),
        max_rank: None,
        is_token_unknown: false,
    }
}

/// Servers may be let in as somebody else than the feeder.
#[tokio::test]
async fn a_store_that_is_asked_without_the_servers_keys_says_only_what_is_not_there() {
    for (servers, name, is_bad) in [
        (ServersKeys::Same, "sql.gguf", true),
        (ServersKeys::Unknown, "sql.gguf", true),
        (ServersKeys::Same, "secret.gguf", true),
        (ServersKeys::Unknown, "secret.gguf", false),
    ] {
        let (told, silence) = store(servers).await.ask(adapters(&[name])).await;
        assert_eq!(told[0].bad.is_some(), is_bad, "{servers:?} {name}");
        assert_eq!(silence.is_some(), !is_bad, "{servers:?} {name}: {silence:?}");
    }
}

/// A store that answers every request with this.
async fn look_at_store(engine: Engine, answer: (StatusCode, &'static str)) -> Result<Facts, Halt> {
    let router = axum::Router::new().fallback(move || std::future::ready(answer));
    let address = format!("http://{}", serve(router).await);
    let environment = [
        ("ADAPTERS_AWS_ENDPOINT_URL", address.as_str()),
        ("ADAPTERS_AWS_ACCESS_KEY_ID", "id"),
        ("ADAPTERS_AWS_SECRET_ACCESS_KEY", "key"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let credentials = Credentials::from_env(Side::Adapters, environment);
    look_in_store(engine, &credentials, ServersKeys::Same, "s3://bucket/loras/sql").await
}

#[tokio::test]
async fn a_bucket_in_another_region_is_left_to_lorax_which_follows_it() {
    let signed_for_another = (
        StatusCode::BAD_REQUEST,
        "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-central-1</Region></Error>",
    );
    let moved = (
        StatusCode::MOVED_PERMANENTLY,
        "<Error><Code>PermanentRedirect</Code></Error>",
    );
    let refused = (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>");
    for (engine, answer, is_bad) in [
        (Engine::LoRAX, signed_for_another, false),
        (Engine::LoRAX, moved, false),
        (Engine::LoRAX, refused, true),
        // It is fetched for it by the operator's own pod, which does not follow.
        (Engine::VLLM, signed_for_another, true),
        (Engine::VLLM, moved, true),
    ] {
        let halt = look_at_store(engine, answer).await.err().expect("no facts");
        assert_eq!(matches!(halt, Halt::Bad(_)), is_bad, "{engine} {answer:?}");
    }
}
