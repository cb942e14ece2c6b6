use super::*;

fn asked(engine: Engine, source: AdapterSource) -> Asked<'static> {
    Asked {
        engine,
        served_name: "qwen3-8b",
        source,
        name: "sql",
        path: "org/sql",
        id: Some(3),
    }
}

#[test]
fn each_engine_is_asked_in_its_own_way() {
    use AdapterSource::{Hub, Local, PBase};
    for (engine, source, model, members) in [
        (Engine::VLLM, Hub, "sql", ""),
        (Engine::Custom, Local, "sql", ""),
        (Engine::SGLang, Hub, "qwen3-8b:sql", ""),
        (Engine::LoRAX, Hub, "org/sql", r#""adapter_source":"hub""#),
        (
            Engine::LoRAX,
            PBase,
            "org/sql",
            r#""adapter_source":"pbase","api_token":"pb_\"visible""#,
        ),
        (Engine::LlamaCpp, Local, "qwen3-8b", r#""lora":[{"id":3,"scale":1.0}]"#),
    ] {
        let token = (source == PBase).then_some("pb_\"visible");
        let call = call(&asked(engine, source), token);
        assert_eq!((call.model.as_str(), call.members()), (model, members), "{engine}");
        assert!(!format!("{call:?}").contains("visible"));
    }
}

#[test]
fn embeddings_are_of_an_adapter_where_the_engine_reads_which() {
    for engine in Engine::ALL {
        let expected = !matches!(engine, Engine::LoRAX | Engine::LlamaCpp);
        assert_eq!(has_adapters_at(engine, Endpoint::Embeddings), expected, "{engine}");
        assert!(has_adapters_at(engine, Endpoint::Completions), "{engine}");
        assert!(has_adapters_at(engine, Endpoint::ChatCompletions), "{engine}");
    }
}

/// What we put into a row is what it may not have itself.
#[test]
fn members_of_ours_are_known_as_choosing() {
    for engine in Engine::ALL {
        let call = call(&asked(engine, AdapterSource::PBase), Some("token"));
        let ours: Value = serde_json::from_str(&format!("{{{}}}", call.members())).expect("JSON");
        for name in ours.as_object().expect("an object").keys() {
            assert!(choosing_members(engine).contains(&name.as_str()), "{engine} {name}");
        }
    }
}

fn load(engine: Engine, source: AdapterSource) -> Option<LoadRequest> {
    let asked = asked(engine, source);
    load_request(&asked, &call(&asked, Some("token")))
}

#[test]
fn before_rows_an_adapter_is_loaded_or_tried() {
    let body = json!({"lora_name": "sql", "lora_path": "org/sql"});
    for (engine, expected) in [
        (Engine::VLLM, "/v1/load_lora_adapter"),
        (Engine::SGLang, "/load_lora_adapter"),
    ] {
        let Some(LoadRequest::Load { path, body: asked }) = load(engine, AdapterSource::Hub) else {
            panic!("{engine} loads");
        };
        assert_eq!((path, &asked), (expected, &body), "{engine}");
    }
    let Some(LoadRequest::OneToken { endpoint, body }) = load(Engine::LoRAX, AdapterSource::S3) else {
        panic!("LoRAX is asked for a token");
    };
    let expected = json!({
        "prompt": "a", "max_tokens": 1, "model": "org/sql", "adapter_source": "s3", "api_token": "token",
    });
    assert_eq!((endpoint, body), (Endpoint::Completions, expected));
    assert!(matches!(
        load(Engine::Custom, AdapterSource::Local),
        Some(LoadRequest::OneToken { .. })
    ));
    assert!(load(Engine::LlamaCpp, AdapterSource::Local).is_none());
}

#[test]
fn an_answer_says_whether_the_adapter_is_there() {
    let unknown = "Repository Not Found for url: https://huggingface.co/api/models/org/sql.";
    let rank = "LoRA rank 128 is greater than max_lora_rank 64.";
    let dead = "EngineCore encountered an issue. See stack trace (above) for the root cause.";
    let wrong_name =
        "Server error: 404 Client Error: Not Found for url: https://api.app.predibase.com/v1/models/version/name/sql";
    let no_key = "Server error: An error occurred (404) when calling the HeadObject operation: Not Found";
    for (engine, status, body, expected) in [
        (
            Engine::VLLM,
            200,
            "Success: LoRA adapter 'sql' added successfully.",
            Loaded::Yes,
        ),
        (
            Engine::VLLM,
            400,
            "The lora adapter 'sql' has already been loaded.",
            Loaded::Yes,
        ),
        (Engine::VLLM, 404, "No adapter found for sql", Loaded::No),
        (Engine::VLLM, 500, rank, Loaded::Failed),
        (Engine::VLLM, 500, dead, Loaded::NotYet),
        (Engine::VLLM, 503, "", Loaded::NotYet),
        (Engine::SGLang, 500, "Internal Server Error", Loaded::Failed),
        (
            Engine::SGLang,
            400,
            r#"{"success":false,"error_message":"rank"}"#,
            Loaded::No,
        ),
        (Engine::LoRAX, 200, "{}", Loaded::Yes),
        (Engine::LoRAX, 424, unknown, Loaded::No),
        (
            Engine::LoRAX,
            424,
            "Server error: Adapter sql/2 is not yet available",
            Loaded::No,
        ),
        (Engine::LoRAX, 424, wrong_name, Loaded::Failed),
        (Engine::LoRAX, 424, no_key, Loaded::Failed),
        (Engine::LoRAX, 424, "Server error: transport error", Loaded::NotYet),
        (Engine::LoRAX, 422, "no chat template", Loaded::Yes),
        (Engine::LoRAX, 429, "", Loaded::NotYet),
        (Engine::Custom, 404, "the model `sql` does not exist", Loaded::No),
        (Engine::Custom, 404, "Not Found", Loaded::Yes),
        (Engine::Custom, 503, "", Loaded::NotYet),
    ] {
        assert_eq!(
            loaded(engine, "sql", status, body),
            expected,
            "{engine} {status} {body}"
        );
    }
}

#[test]
fn llama_server_numbers_its_files() {
    let answer = br#"[{"id":0,"path":"/a/x.gguf","scale":0.0},{"id":1,"path":"/a/y.gguf","scale":0.0}]"#;
    let expected = [("/a/x.gguf".to_owned(), 0), ("/a/y.gguf".to_owned(), 1)];
    assert_eq!(llama_cpp_ids(answer), expected);
    assert_eq!(llama_cpp_ids(b"{}"), []);
}
