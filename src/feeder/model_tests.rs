//! A small hub, and what is made of its answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::storage::loopback::serve;

const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";
const INFO: &str = "/api/models/org/model/revision/main";

/// What the hub answers: status, the header `X-Error-Code`, and the body, which of a refusal is the header `X-Error-Message`, too.
type Answers = BTreeMap<String, (StatusCode, &'static str, String)>;

/// Path and token of each request.
type Requests = Vec<(String, Option<String>)>;

#[derive(Clone, Default)]
struct Shared {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Requests>>,
}

struct Hub {
    address: String,
    shared: Shared,
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let token = request.headers().get(AUTHORIZATION);
    let token = token.map(|token| token.to_str().unwrap().to_owned());
    shared.asked.lock().unwrap().push((path.clone(), token));
    match shared.answers.lock().unwrap().get(&path) {
        Some((status, code, body)) if status.is_success() => {
            (*status, [("X-Error-Code", *code)], body.clone()).into_response()
        }
        Some((status, code, said)) => {
            (*status, [("X-Error-Code", *code), ("X-Error-Message", said.as_str())]).into_response()
        }
        None => (StatusCode::NOT_FOUND, [("X-Error-Code", "EntryNotFound")]).into_response(),
    }
}

impl Hub {
    async fn start() -> Self {
        let shared = Shared::default();
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        let address = format!("http://{}", serve(router).await);
        Self { address, shared }
    }

    /// One that has this model.
    async fn with(model: &Value, config: &Value) -> Self {
        let hub = Self::start().await;
        hub.put(INFO, model);
        hub.put(&format!("/org/model/resolve/{COMMIT}/config.json"), config);
        hub
    }

    fn put(&self, path: &str, body: &Value) {
        self.refuse(path, StatusCode::OK, "", &body.to_string());
    }

    fn refuse(&self, path: &str, status: StatusCode, code: &'static str, body: &str) {
        let mut answers = self.shared.answers.lock().unwrap();
        answers.insert(path.to_owned(), (status, code, body.to_owned()));
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }

    fn check(&self, resolved: &Resolved, more: &[(&str, &str)]) -> Option<ModelCheck> {
        let endpoint = [("MODEL_HF_ENDPOINT", self.address.as_str())];
        let environment = endpoint.iter().chain(more);
        let environment = environment.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ModelCheck::new(resolved, 16_000_000_000, environment.collect::<Vec<_>>()).unwrap()
    }

    async fn ask(&self, resolved: &Resolved) -> Asked {
        self.check(resolved, &[]).expect("a hub").ask(None).await
    }
}

fn resolved(engine: Engine) -> Resolved {
    Resolved {
        engine,
        image: engine
            .default_image()
            .map_or_else(|| "own:1".to_owned(), |image| image.to_string()),
        model: "org/model".into(),
        ..Resolved::default()
    }
}

fn files(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"rfilename": name})).collect()
}

fn model(parameters: u64) -> Value {
    json!({
        "id": "org/model", "sha": COMMIT, "gated": false,
        "siblings": files(&["config.json", "model.safetensors"]),
        "safetensors": {"parameters": {"BF16": parameters}, "total": parameters},
    })
}

fn qwen3() -> Value {
    json!({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "torch_dtype": "bfloat16"})
}

fn refusal(asked: Asked) -> End {
    match asked {
        Asked::Refused(end) => end,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_good_model_is_asked_for_with_the_token_of_its_servers() {
    let hub = Hub::with(&model(8_000_000_000), &qwen3()).await;
    let environment = [("MODEL_HF_TOKEN", "hf_visible\n"), ("DATASET_HF_TOKEN", "hf_other")];
    let check = hub.check(&resolved(Engine::VLLM), &environment).expect("a hub");
    // The commit of `main`, though no revision is given: servers that start at different times load the same.
    let good = ModelStatus {
        revision: Some(COMMIT.into()),
        parameters: Some(8_000_000_000),
    };
    assert_eq!(check.ask(None).await, Asked::Good(good));
    let token = || Some("Bearer hf_visible".to_owned());
    let config = format!("/org/model/resolve/{COMMIT}/config.json");
    assert_eq!(hub.asked(), [(INFO.to_owned(), token()), (config, token())]);
    assert!(!format!("{check:?}").contains("visible"));
}

#[tokio::test]
async fn a_revision_becomes_a_commit_once() {
    let hub = Hub::with(&model(1), &qwen3()).await;
    hub.put("/api/models/org/model/revision/refs%2Fpr%2F1", &model(1));
    let resolved = Resolved {
        revision: Some("refs/pr/1".into()),
        ..resolved(Engine::VLLM)
    };
    let check = hub.check(&resolved, &[]).expect("a hub");
    let pinned = |revision: &str| {
        Asked::Good(ModelStatus {
            revision: Some(revision.to_owned()),
            parameters: Some(1),
        })
    };
    assert_eq!(check.ask(None).await, pinned(COMMIT));
    // A later start asks for what was told, and tells nothing else, though the hub would.
    let told = ModelStatus {
        revision: Some("refs/pr/1".into()),
        parameters: None,
    };
    assert_eq!(check.ask(Some(&told)).await, pinned("refs/pr/1"));
    let told = ModelStatus {
        revision: Some("of-then".into()),
        parameters: None,
    };
    let gone = refusal(check.ask(Some(&told)).await);
    assert_eq!(gone.reason, Reason::ModelNotFound);
    assert!(gone.message.contains("at revision of-then"), "{}", gone.message);
}

#[tokio::test]
async fn llama_server_s_revision_becomes_a_commit_where_it_has_one() {
    let shown = json!({"sha": COMMIT, "siblings": files(&["config.json", "m.gguf"])});
    let hub = Hub::with(&shown, &qwen3()).await;
    for (revision, told) in [(None, None), (Some("main"), Some(COMMIT))] {
        let resolved = Resolved {
            revision: revision.map(str::to_owned),
            ..resolved(Engine::LlamaCpp)
        };
        match hub.ask(&resolved).await {
            Asked::Good(model) => assert_eq!(model.revision.as_deref(), told),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_the_hub_refuses_ends_the_job_by_name() {
    use Reason::{ModelAccessDenied, ModelNotFound};
    for (status, code, reason) in [
        (StatusCode::FORBIDDEN, "GatedRepo", ModelAccessDenied),
        (StatusCode::UNAUTHORIZED, "GatedRepo", ModelAccessDenied),
        (StatusCode::UNAUTHORIZED, "", ModelAccessDenied),
        (StatusCode::UNAUTHORIZED, "RepoNotFound", ModelNotFound),
        (StatusCode::NOT_FOUND, "RevisionNotFound", ModelNotFound),
        (StatusCode::NOT_FOUND, "", ModelNotFound),
    ] {
        let hub = Hub::start().await;
        hub.refuse(INFO, status, code, "no");
        let end = refusal(hub.ask(&resolved(Engine::VLLM)).await);
        assert_eq!(end.reason, reason, "{status} {code}");
        assert!(
            end.message.contains("org/model") && end.message.contains("hfTokenSecretRef"),
            "{}",
            end.message
        );
    }
}

/// The hub shows to everybody what a gated repository has.
#[tokio::test]
async fn a_gated_model_is_refused_by_the_file_that_servers_would_read() {
    let gguf = json!({"sha": COMMIT, "siblings": files(&["README.md", "m-Q4_K_M.gguf"]), "gguf": {"total": 7}});
    for (engine, shown, file) in [
        (Engine::VLLM, model(7), "config.json"),
        (Engine::LlamaCpp, gguf, "m-Q4_K_M.gguf"),
    ] {
        let hub = Hub::start().await;
        hub.put(INFO, &shown);
        let path = format!("/org/model/resolve/{COMMIT}/{file}");
        hub.refuse(&path, StatusCode::FORBIDDEN, "GatedRepo", "no");
        assert_eq!(
            refusal(hub.ask(&resolved(engine)).await).reason,
            Reason::ModelAccessDenied
        );
        hub.put(&path, &qwen3());
        let parameters = Some(7);
        let revision = (engine == Engine::VLLM).then(|| COMMIT.to_owned());
        assert_eq!(
            hub.ask(&resolved(engine)).await,
            Asked::Good(ModelStatus { revision, parameters })
        );
    }
}

#[tokio::test]
async fn what_no_server_could_run_is_refused() {
    let gguf = json!({"sha": COMMIT, "siblings": files(&["config.json", "m.gguf"])});
    let small = || model(1);
    let other_image = Resolved {
        image: "predibase/lorax:next".into(),
        ..resolved(Engine::LoRAX)
    };
    for (resolved, shown, expected) in [
        (
            resolved(Engine::VLLM),
            model(16_000_000_001),
            Some(Reason::ModelTooLarge),
        ),
        (resolved(Engine::VLLM), gguf.clone(), Some(Reason::EngineModelMismatch)),
        (resolved(Engine::LlamaCpp), small(), Some(Reason::EngineModelMismatch)),
        (resolved(Engine::LoRAX), small(), Some(Reason::UnsupportedArchitecture)),
        (other_image, small(), None),
        (resolved(Engine::LlamaCpp), gguf, None),
        (resolved(Engine::SGLang), small(), None),
    ] {
        let hub = Hub::with(&shown, &qwen3()).await;
        let reason = match hub.ask(&resolved).await {
            Asked::Refused(end) => Some(end.reason),
            Asked::Good(_) => None,
            Asked::Unknown(why) => panic!("{why}"),
        };
        assert_eq!(reason, expected, "{resolved:?}");
    }
}

#[tokio::test]
async fn a_checkpoint_that_the_engine_does_not_load_is_refused() {
    let own = || resolved(Engine::VLLM);
    let told = |word: &str| Resolved {
        args: ["--quantization", word].map(str::to_owned).into(),
        ..own()
    };
    let with_plugin = Resolved {
        image: "own/vllm:bnb".into(),
        ..own()
    };
    for (resolved, method, more, words) in [
        (
            own(),
            "bitsandbytes",
            &[][..],
            Some("does not load checkpoints that are quantized with bitsandbytes, as org/model is"),
        ),
        (with_plugin, "bitsandbytes", &[], None),
        (resolved(Engine::SGLang), "bitsandbytes", &[], None),
        (
            told("gptq"),
            "awq",
            &[],
            Some("spec.server.quantization is \"gptq\", and org/model is quantized with awq already"),
        ),
        (told("awq_marlin"), "awq", &[], None),
        (own(), "awq", &[], None),
        // vLLM reads Mistral AI's own configuration there.
        (told("fp8_per_block"), "fp8", &["params.json"], None),
    ] {
        let mut shown = model(1);
        let names = ["config.json", "model.safetensors"].iter().chain(more);
        shown["siblings"] = files(&names.copied().collect::<Vec<_>>());
        let config = json!({"model_type": "qwen3", "quantization_config": {"quant_method": method}});
        let hub = Hub::with(&shown, &config).await;
        match (hub.ask(&resolved).await, words) {
            (Asked::Refused(end), Some(words)) => {
                assert_eq!(end.reason, Reason::QuantizationUnsupported);
                assert!(end.message.contains(words), "{}", end.message);
            }
            (Asked::Good(_), None) => {}
            (other, _) => panic!("{method}: {other:?}"),
        }
        let configs = hub
            .asked()
            .into_iter()
            .filter(|(path, _)| path.ends_with("/config.json"));
        assert_eq!(configs.count(), 1, "it is read once");
    }
}

#[tokio::test]
async fn a_config_that_is_too_large_is_left_to_the_servers() {
    let hub = Hub::with(&model(1), &json!({"padding": " ".repeat(4 << 20)})).await;
    match hub.ask(&resolved(Engine::VLLM)).await {
        Asked::Unknown(why) => assert!(why.ends_with("config.json has more than 4194304 bytes"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn llama_server_s_own_choice_is_looked_for_before_it_starts() {
    let shown = json!({"sha": COMMIT, "siblings": files(&["m-Q4_K_M.gguf", "m-Q8_0.gguf"])});
    let with_args = |args: &[&str]| Resolved {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..resolved(Engine::LlamaCpp)
    };
    let hub = Hub::with(&shown, &qwen3()).await;
    let probed = format!("/org/model/resolve/{COMMIT}/m-Q8_0.gguf");
    hub.put(&probed, &json!("GGUF"));
    assert!(matches!(
        hub.ask(&with_args(&["-hf", "org/model:Q8_0"])).await,
        Asked::Good(_)
    ));
    assert!(hub.asked().iter().any(|(path, _)| *path == probed));
    hub.put(&format!("/org/model/resolve/{COMMIT}/m-Q4_K_M.gguf"), &json!("GGUF"));
    let end = refusal(hub.ask(&with_args(&["-hf", "org/model:Q2_K"])).await);
    assert_eq!(end.reason, Reason::EngineModelMismatch);
    assert!(
        end.message.starts_with(
            "org/model has no GGUF file \"Q2_K\": it has m-Q4_K_M.gguf, m-Q8_0.gguf; write the type of one in"
        ),
        "{}",
        end.message
    );
}

#[tokio::test]
async fn the_size_is_told_by_the_index_where_the_hub_has_not_counted() {
    let index = "model.safetensors.index.json";
    let shown = json!({"sha": COMMIT, "siblings": files(&["config.json", "model-1-of-2.safetensors", index])});
    let hub = Hub::with(&shown, &qwen3()).await;
    let path = format!("/org/model/resolve/{COMMIT}/{index}");
    hub.put(
        &path,
        &json!({"metadata": {"total_size": 65_524_246_528_u64}, "weight_map": {}}),
    );
    let end = refusal(hub.ask(&resolved(Engine::VLLM)).await);
    assert_eq!(end.reason, Reason::ModelTooLarge);
    assert!(end.message.contains("32.7 billion"), "{}", end.message);
}

#[tokio::test]
async fn a_hub_that_says_nothing_is_a_warning() {
    let hub = Hub::start().await;
    for (status, body, words) in [
        (StatusCode::OK, "<html>", "is not understood"),
        (StatusCode::PROXY_AUTHENTICATION_REQUIRED, "", "407"),
        (StatusCode::UNAUTHORIZED, "", "401"),
        (StatusCode::FORBIDDEN, "", "403"),
        (StatusCode::NOT_FOUND, "", "404"),
    ] {
        hub.refuse(INFO, status, "", body);
        match hub.ask(&resolved(Engine::VLLM)).await {
            Asked::Unknown(why) => assert!(why.contains(words) && why.contains(&hub.address), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

/// A token may be among the servers' variables that are not known here.
#[tokio::test]
async fn who_may_have_a_token_is_not_refused_without_one() {
    let more = ("MODEL_TOKEN_UNKNOWN", "1");
    let token = ("MODEL_HF_TOKEN", "hf_visible");
    for (status, code) in [
        (StatusCode::UNAUTHORIZED, "GatedRepo"),
        (StatusCode::UNAUTHORIZED, "RepoNotFound"),
    ] {
        for (variables, is_refused) in [(&[][..], true), (&[more], false), (&[more, token], true)] {
            let hub = Hub::start().await;
            hub.refuse(INFO, status, code, "no");
            let check = hub.check(&resolved(Engine::VLLM), variables).expect("a hub");
            let asked = check.ask(None).await;
            assert_eq!(matches!(asked, Asked::Refused(_)), is_refused, "{code} {variables:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_takes_connections_and_says_nothing_is_a_warning() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let environment = [("MODEL_HF_ENDPOINT".to_owned(), address)];
    let check = ModelCheck::new(&resolved(Engine::VLLM), 1, environment).unwrap();
    let begun = tokio::time::Instant::now();
    let asked = check.expect("a hub").ask(None).await;
    assert!(matches!(asked, Asked::Unknown(_)), "{asked:?}");
    assert!(begun.elapsed() <= Duration::from_secs(46), "{:?}", begun.elapsed());
}

/// The time of its tries is paused time.
#[tokio::test(start_paused = true)]
async fn a_hub_that_is_not_there_is_a_warning() {
    let environment = [("MODEL_HF_ENDPOINT".to_owned(), "http://127.0.0.1:1".to_owned())];
    let check = ModelCheck::new(&resolved(Engine::VLLM), 1, environment).unwrap();
    match check.expect("a hub").ask(None).await {
        Asked::Unknown(why) => assert!(
            why.starts_with("http://127.0.0.1:1 could not be asked of the model org/model"),
            "{why}"
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn servers_that_have_the_model_from_elsewhere_ask_no_hub() {
    let check = |resolved: &Resolved, variables: &[(&str, &str)]| {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ModelCheck::new(resolved, 1, variables.collect::<Vec<_>>())
    };
    let path = Resolved {
        model: "/models/model".into(),
        ..resolved(Engine::VLLM)
    };
    let vllm = resolved(Engine::VLLM);
    let lorax = |args: &[&str]| Resolved {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..resolved(Engine::LoRAX)
    };
    for (resolved, variables, is_asked) in [
        (&vllm, &[][..], true),
        (&vllm, &[("MODEL_HF_HUB_OFFLINE", "0")], true),
        (&vllm, &[("MODEL_HF_HUB_OFFLINE", "true")], false),
        (&vllm, &[("MODEL_TRANSFORMERS_OFFLINE", "1")], false),
        (&vllm, &[("MODEL_VLLM_USE_MODELSCOPE", "True")], false),
        (&vllm, &[("MODEL_SGLANG_USE_MODELSCOPE", "true")], false),
        (&vllm, &[("MODEL_SOURCE", "s3")], true),
        (&lorax(&[]), &[("MODEL_SOURCE", "s3")], false),
        (&lorax(&["--source", "hub"]), &[("MODEL_SOURCE", "s3")], true),
        (&lorax(&["--source=pbase"]), &[], false),
        (&path, &[], false),
        (&resolved(Engine::Custom), &[], false),
    ] {
        assert_eq!(
            check(resolved, variables).unwrap().is_some(),
            is_asked,
            "{resolved:?} {variables:?}"
        );
    }
    let end = check(&vllm, &[("MODEL_HF_ENDPOINT", "hub")]).unwrap_err();
    assert_eq!(end.reason, Reason::SpecInvalid);
}
