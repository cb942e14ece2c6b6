use super::*;

const DONE: Verdict = Verdict::Done;
const FAILED: Verdict = Verdict::RowFailed;
const UNHEALTHY: Verdict = Verdict::ServerUnhealthy;
const CRASHED: Verdict = Verdict::ServerCrashed;
const SERVER_ERROR: Verdict = Verdict::Retry(RetryReason::ServerError);
const BAD_BODY: Verdict = Verdict::Retry(RetryReason::BadBody);
const OVERLOADED: Verdict = Verdict::Retry(RetryReason::Overloaded { retry_after: None });

fn answered(engine: Engine, status: u16, body: &str) -> Verdict {
    let answer = Answer {
        status,
        body: &ResponseBody::new(body.to_owned().into()),
        retry_after: None,
    };
    classify(engine, Outcome::Answer(answer))
}

/// Bodies as llama.cpp 0.7.0 sends them.
#[test]
fn answers_of_llama_server() {
    let table = [
        (
            200,
            r#"{"choices":[{"finish_reason":"length","index":0}],"object":"chat.completion"}"#,
            DONE,
        ),
        (
            503,
            r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#,
            UNHEALTHY,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"'messages' is required","type":"invalid_request_error"}}"#,
            FAILED,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the context","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}"#,
            FAILED,
        ),
        (
            404,
            r#"{"error":{"message":"File Not Found","type":"not_found_error","code":404}}"#,
            FAILED,
        ),
        (
            501,
            r#"{"error":{"code":501,"message":"This server does not support embeddings. Start it with `--embeddings`","type":"not_supported_error"}}"#,
            FAILED,
        ),
        (
            500,
            r#"{"error":{"code":500,"message":"decode failed","type":"server_error"}}"#,
            SERVER_ERROR,
        ),
        (
            401,
            r#"{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}"#,
            Verdict::StopJob(StopReason::AccessDenied { status: 401 }),
        ),
    ];
    for (status, body, verdict) in table {
        assert_eq!(answered(Engine::LlamaCpp, status, body), verdict, "{status} {body}");
    }
}

/// Bodies as vLLM 0.32.0 makes them (`vllm/exceptions.py`, `vllm/entrypoints/serve/exception_handling`).
#[test]
fn answers_of_vllm() {
    let table = [
        (
            200,
            r#"{"id":"chatcmpl-1","object":"chat.completion","choices":[]}"#,
            DONE,
        ),
        (
            400,
            r#"{"error":{"message":"prompt too long","type":"BadRequestError","param":null,"code":400}}"#,
            FAILED,
        ),
        (
            404,
            r#"{"error":{"message":"The model `x` does not exist. Valid aliases: qwen3-8b","type":"NotFoundError","param":"model","code":404}}"#,
            FAILED,
        ),
        (
            422,
            r#"{"error":{"message":"no such image","type":"UnprocessableEntityError","param":null,"code":422}}"#,
            FAILED,
        ),
        (
            401,
            r#"{"error":"Unauthorized"}"#,
            Verdict::StopJob(StopReason::AccessDenied { status: 401 }),
        ),
        (
            503,
            r#"{"error":{"message":"queue is full","type":"ServiceUnavailableError","param":null,"code":503}}"#,
            OVERLOADED,
        ),
        (
            500,
            r#"{"error":{"message":"failed","type":"InternalServerError","param":null,"code":500}}"#,
            SERVER_ERROR,
        ),
        (
            500,
            r#"{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"InternalServerError","param":null,"code":500}}"#,
            CRASHED,
        ),
    ];
    for (status, body, verdict) in table {
        assert_eq!(answered(Engine::VLLM, status, body), verdict, "{status} {body}");
    }
}

/// Bodies as the router of predibase/lorax a7394ba makes them (`router/src/server.rs`, `infer.rs`, `validation.rs`); the last ones are axum's own.
#[test]
fn answers_of_lorax() {
    let table = [
        (
            200,
            r#"{"id":"null","object":"text_completion","created":1764072000,"model":"org/model","choices":[]}"#,
            DONE,
        ),
        (
            429,
            r#"{"error":"Model is overloaded","error_type":"overloaded"}"#,
            OVERLOADED,
        ),
        (
            424,
            r#"{"error":"Request failed during generation: Server error: CUDA out of memory. Tried to allocate 20.00 MiB.","error_type":"generation"}"#,
            SERVER_ERROR,
        ),
        (
            424,
            r#"{"error":"Request failed during generation: Could not connect to LoRAX server: transport error","error_type":"generation"}"#,
            CRASHED,
        ),
        (
            424,
            r#"{"error":"Request failed during generation: Server error: transport error","error_type":"generation"}"#,
            CRASHED,
        ),
        (
            424,
            r#"{"error":"Request failed during generation: Server error: 404 Client Error. (Request ID: Root=1-1)\n\nRepository Not Found for url: https://huggingface.co/api/models/org/adapter.","error_type":"generation"}"#,
            FAILED,
        ),
        (
            424,
            r#"{"error":"Request failed during generation: Server error: No valid adapter config file found: tried None and /data/x","error_type":"generation"}"#,
            FAILED,
        ),
        (
            424,
            r#"{"error":"Request failed during generation: Server error: Adapter sql/2 is not yet available","error_type":"generation"}"#,
            FAILED,
        ),
        (
            424,
            r#"{"error":"Request failed during generation: Server error: 404 Client Error: Not Found for url: https://api.app.predibase.com/v1/models/version/name/sql","error_type":"generation"}"#,
            SERVER_ERROR,
        ),
        (
            422,
            r#"{"error":"Input validation error: `inputs` must have less than 4095 tokens. Given: 5000","error_type":"validation"}"#,
            FAILED,
        ),
        (
            422,
            r#"{"error":"Failed applying chat template to inputs: template not found","error_type":"template_error"}"#,
            FAILED,
        ),
        (
            500,
            r#"{"error":"Incomplete generation","error_type":"incomplete_generation"}"#,
            SERVER_ERROR,
        ),
        (
            500,
            r#"{"error":"Embedding Failure","error_type":"embedding_failure"}"#,
            SERVER_ERROR,
        ),
        (
            422,
            "Failed to deserialize the JSON body into the target type: stop: invalid type: string \"x\", expected a sequence at line 1 column 90",
            FAILED,
        ),
        (413, "length limit exceeded", FAILED),
    ];
    for (status, body, verdict) in table {
        assert_eq!(answered(Engine::LoRAX, status, body), verdict, "{status} {body}");
    }
}

/// Bodies as sglang 0.5.23 makes them (`entrypoints/openai/serving_base.py`, `managers/scheduler.py`, `utils/auth.py`).
#[test]
fn answers_of_sglang() {
    let table = [
        (200, r#"{"id":"1","object":"chat.completion","choices":[]}"#, DONE),
        (
            400,
            r#"{"object":"error","message":"The input (9000 tokens) is longer than the model's context length (8192 tokens).","type":"BadRequest","param":null,"code":400}"#,
            FAILED,
        ),
        (
            400,
            r#"{"object":"error","message":"Messages cannot be empty.","type":"BadRequestError","param":null,"code":400}"#,
            FAILED,
        ),
        (
            503,
            r#"{"object":"error","message":"The request queue is full.","type":"503","param":null,"code":503}"#,
            OVERLOADED,
        ),
        (
            503,
            r#"{"object":"error","message":"Request waiting timeout reached.","type":"503","param":null,"code":503}"#,
            OVERLOADED,
        ),
        (
            500,
            r#"{"object":"error","message":"Internal server error: 'NoneType' object is not iterable","type":"InternalServerError","param":null,"code":500}"#,
            SERVER_ERROR,
        ),
        (
            401,
            r#"{"error":"Unauthorized"}"#,
            Verdict::StopJob(StopReason::AccessDenied { status: 401 }),
        ),
        (404, r#"{"detail":"Not Found"}"#, FAILED),
    ];
    for (status, body, verdict) in table {
        assert_eq!(answered(Engine::SGLang, status, body), verdict, "{status} {body}");
    }
}

#[test]
fn a_status_means_the_same_for_every_engine_where_no_body_says_otherwise() {
    let table = [
        (302, FAILED),
        (405, FAILED),
        (408, SERVER_ERROR),
        (413, FAILED),
        (415, FAILED),
        (403, Verdict::StopJob(StopReason::AccessDenied { status: 403 })),
        (429, OVERLOADED),
        (501, FAILED),
        (502, SERVER_ERROR),
        (503, OVERLOADED),
        (504, SERVER_ERROR),
        (507, SERVER_ERROR),
    ];
    for engine in Engine::ALL {
        for (status, verdict) in table {
            assert_eq!(
                answered(engine, status, "upstream says no"),
                verdict,
                "{engine} {status}"
            );
        }
    }
}

#[test]
fn success_needs_one_json_value() {
    let table = [
        (r#" {"a": 1.0, "a": 12345678901234567890, "b": "\ud83d"} "#, DONE),
        // Half of a surrogate pair, as in a value above.
        (r#"{"\ud800": 1}"#, DONE),
        ("", BAD_BODY),
        ("<html>", BAD_BODY),
        (r#"{"a":1"#, BAD_BODY),
        (r#"{"a":1}{"b":2}"#, BAD_BODY),
        ("{'a':1}", BAD_BODY),
    ];
    for (body, verdict) in table {
        assert_eq!(answered(Engine::VLLM, 200, body), verdict, "{body}");
    }
    let not_text = Answer {
        status: 200,
        body: &ResponseBody::new(b"{\"a\":\"\xff\"}".as_slice().into()),
        retry_after: None,
    };
    assert_eq!(classify(Engine::VLLM, Outcome::Answer(not_text)), BAD_BODY);
}

#[test]
fn servers_that_were_started_anew_lack_adapters() {
    let lacks = |engine, status, body: &str| {
        let answer = Answer {
            status,
            body: &ResponseBody::new(body.to_owned().into()),
            retry_after: None,
        };
        lacks_adapter(engine, &answer)
    };
    let of_vllm = r#"{"error":{"message":"The model `org/sql` does not exist.","type":"NotFoundError","param":"model","code":404}}"#;
    let of_sglang =
        r#"{"object":"error","message":"The following requested LoRA adapters are not loaded: {'sql'}","code":400}"#;
    assert!(lacks(Engine::VLLM, 404, of_vllm));
    assert!(lacks(Engine::SGLang, 400, of_sglang));
    for (engine, status, body) in [
        (Engine::VLLM, 400, of_vllm),
        (Engine::VLLM, 404, r#"{"detail":"Not Found"}"#),
        (Engine::SGLang, 400, r#"{"message":"max_tokens is too large"}"#),
        (Engine::LlamaCpp, 404, of_vllm),
        (Engine::Custom, 404, of_vllm),
    ] {
        assert!(!lacks(engine, status, body), "{engine}: {body}");
    }
}

#[test]
fn deep_json_is_json() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(answered(Engine::VLLM, 200, &deep), DONE);
}

#[test]
fn the_wait_that_an_overloaded_server_asks_for_is_kept() {
    let retry_after = Some(Duration::from_secs(7));
    let answer = Answer {
        status: 429,
        body: &ResponseBody::new("".into()),
        retry_after,
    };
    assert_eq!(
        classify(Engine::VLLM, Outcome::Answer(answer)),
        Verdict::Retry(RetryReason::Overloaded { retry_after })
    );
}

#[test]
fn faults_of_the_connection_say_little_of_the_row() {
    for engine in Engine::ALL {
        let fault = |fault| classify(engine, Outcome::Fault(fault));
        assert_eq!(fault(Fault::ConnectFailed), UNHEALTHY);
        assert_eq!(fault(Fault::ServerGone), Verdict::ServerCrashed);
        assert_eq!(
            fault(Fault::ConnectionLost),
            Verdict::Retry(RetryReason::ConnectionLost)
        );
        assert_eq!(fault(Fault::TimedOut), Verdict::Retry(RetryReason::TimedOut));
    }
}
