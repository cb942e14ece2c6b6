//! What it answers: to chats and to other requests, in the words of each server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_model_server::{Count, FakeModelServer, Settings};
use crate::{CHAT, LLAMA_SERVER, LORAX, SGLANG, VLLM, chat, client, get, post, start};

#[tokio::test]
async fn chat_is_answered_with_the_last_user_message_and_usage() {
    for args in [VLLM, LORAX, SGLANG, LLAMA_SERVER] {
        let server = start(args);
        let (status, body) = post(&server, CHAT, &chat("1", &json!({}))).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(status, 200);
        assert_eq!(body["choices"][0]["message"]["content"], "You said: hello there");
        assert_eq!(body["model"], "model");
        assert_eq!(
            body["usage"],
            json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6})
        );
    }
}

#[tokio::test]
async fn a_raw_body_comes_back_byte_for_byte() {
    let server = start(VLLM);
    let raw = "{ \"a\":1.0,\"a\" :12345678901234567890,\n\t\"b\":\"\\u00e9\\ud83d\"}\r\n";
    let (status, body) = post(&server, CHAT, &chat("1", &json!({"raw_body": raw}))).await;
    assert_eq!((status, body.as_str()), (200, raw));
}

#[tokio::test]
async fn a_status_is_sent_as_often_as_the_row_asks() {
    let server = start(VLLM);
    let row = chat("1", &json!({"status": "500", "times": "2", "retry_after": "7"}));
    for status in [500, 500, 200] {
        assert_eq!(post(&server, CHAT, &row).await.0, status);
    }
    let counts = server.requests();
    assert_eq!(
        counts["1"],
        Count {
            received: 3,
            answered: 3
        }
    );
}

#[tokio::test]
async fn a_wish_that_is_not_known_is_refused() {
    let server = start(VLLM);
    let (status, body) = post(&server, CHAT, &chat("1", &json!({"stauts": "500"}))).await;
    assert_eq!(status, 400);
    assert!(body.contains("metadata.fake.stauts is not known"), "{body}");
}

#[tokio::test]
async fn a_name_that_is_not_served_is_treated_as_the_real_servers_do() {
    let mut row = chat("1", &json!({}));
    row["model"] = json!("nonsense");
    let (status, body) = post(&start(VLLM), CHAT, &row).await;
    assert_eq!(status, 404);
    assert!(body.contains("The model `nonsense` does not exist."), "{body}");
    assert_eq!(post(&start(LLAMA_SERVER), CHAT, &row).await.0, 200);
    assert_eq!(post(&start(SGLANG), CHAT, &row).await.0, 200);
    let (status, body) = post(&start(LORAX), CHAT, &row).await;
    assert_eq!(status, 424);
    assert!(body.contains("Repository Not Found for url"), "{body}");
    row["model"] = json!("model:nonsense");
    let (status, body) = post(&start(SGLANG), CHAT, &row).await;
    assert_eq!(status, 400);
    assert!(body.contains("not loaded: nonsense"), "{body}");
}

/// As `router/src/server.rs` and axum have them.
#[tokio::test]
async fn lorax_answers_in_its_own_words() {
    let server = start(LORAX);
    let mut row = chat("1", &json!({}));
    row["stop"] = json!(["there"]);
    let (status, body) = post(&server, CHAT, &row).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(
        (&body["id"], &body["object"], &body["choices"][0]["finish_reason"]),
        (&json!("null"), &json!("text_completion"), &json!("content_filter"))
    );

    let overloaded = chat("2", &json!({"status": "429"}));
    let overload = r#"{"error":"scripted","error_type":"overloaded"}"#.to_owned();
    assert_eq!(post(&server, CHAT, &overloaded).await, (429, overload));

    row["stop"] = json!("there");
    let refused =
        "Failed to deserialize the JSON body into the target type: stop: invalid type: \"there\", expected a sequence";
    assert_eq!(post(&server, CHAT, &row).await, (422, refused.to_owned()));
    let (status, body) = get(&server.url("/v1/models")).await;
    assert_eq!((status, body.as_str()), (404, ""));
}

#[tokio::test]
async fn sglang_answers_errors_in_one_level() {
    let server = start(SGLANG);
    let full = chat("1", &json!({"status": "503"}));
    let (status, answer) = post(&server, CHAT, &full).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let expected = json!({"object": "error", "message": "scripted", "type": "503", "param": null, "code": 503});
    assert_eq!((status, answer), (503, expected));
    let without = start(&["--model-path", "org/model"]);
    assert_eq!(get(&without.url("/metrics")).await.0, 404);
}

#[tokio::test]
async fn what_is_not_json_or_has_no_messages_is_a_bad_request() {
    for (args, of_missing) in [(VLLM, 400), (LORAX, 422), (SGLANG, 400), (LLAMA_SERVER, 400)] {
        let server = start(args);
        for (body, status) in [("{", 400), (r#"{"model":"model"}"#, of_missing)] {
            let answer = client()
                .post(server.url(CHAT))
                .body(body)
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), status);
        }
    }
}

#[tokio::test]
async fn endpoints_that_are_not_enabled_answer_501() {
    let server = start(&["-m", "/models/model.gguf"]);
    assert_eq!(post(&server, "/v1/embeddings", &json!({"input": "x"})).await.0, 501);
    assert_eq!(get(&server.url("/metrics")).await.0, 501);
    assert_eq!(get(&server.url("/nothing")).await.0, 404);
}

#[tokio::test]
async fn llama_server_answers_503_while_the_model_is_loaded() {
    let mut settings = Settings::local(LLAMA_SERVER);
    settings.loading = Duration::from_hours(1);
    let server = FakeModelServer::start(settings).expect("a free port");
    let loading = r#"{"error":{"message":"Loading model","type":"unavailable_error","code":503}}"#;
    assert_eq!(get(&server.url("/health")).await, (503, loading.to_owned()));
    assert_eq!(
        post(&server, CHAT, &chat("1", &json!({}))).await,
        (503, loading.to_owned())
    );
}

#[tokio::test]
async fn vllm_does_not_listen_while_the_model_is_loaded() {
    let mut settings = Settings::local(VLLM);
    settings.loading = Duration::from_hours(1);
    let server = FakeModelServer::start(settings).expect("a free port");
    let refused = client().get(server.url("/health")).send().await.expect_err("no answer");
    assert!(refused.is_connect(), "{refused:?}");
}
