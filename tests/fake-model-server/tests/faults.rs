//! The ways in which it misbehaves: by row, and as a whole until it is told otherwise.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fake_model_server::{FakeModelServer, Settings, Storm};
use crate::{CHAT, LLAMA_SERVER, PATIENCE, VLLM, chat, client, get, post, start, until};

/// All that comes over a connection of its own, and how it ends.
async fn raw(server: &FakeModelServer, row: &Value) -> (String, std::io::Result<()>) {
    let body = row.to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address()).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let ended = ended.expect("the connection ends").map(drop);
    (String::from_utf8_lossy(&answer).into_owned(), ended)
}

/// The value of a metric.
/// A series that counts something.
async fn counted(server: &FakeModelServer, name: &str) -> u64 {
    let value = metric(server, name).await;
    value
        .to_string()
        .parse()
        .unwrap_or_else(|_| panic!("{name} is {value}"))
}

async fn metric(server: &FakeModelServer, name: &str) -> f64 {
    let (_, text) = get(&server.url("/metrics")).await;
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name} is not in {text}"));
    let value = line.rsplit(' ').next().and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{line}"))
}

#[tokio::test]
async fn a_body_whose_length_was_told_is_cut_by_an_end_or_a_reset() {
    let server = start(VLLM);
    for (how, by_reset) in [("fin", false), ("reset", true)] {
        let row = chat(how, &json!({"cut": how, "times": "1"}));
        let (answer, ended) = raw(&server, &row).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let told = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let told: usize = told.expect("a length").parse().expect("a number");
        assert_eq!(body.len(), told / 2);
        let reset = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        assert_eq!(reset, by_reset, "{how}");
        assert_eq!(server.requests()[how].answered, 0);
        assert_eq!(post(&server, CHAT, &row).await.0, 200);
    }
}

#[tokio::test]
async fn bodies_that_are_cut_short_or_no_text_come_with_status_200() {
    let server = start(VLLM);
    let (status, whole) = post(&server, CHAT, &chat("1", &json!({}))).await;
    let (status_too, half) = post(&server, CHAT, &chat("1", &json!({"truncated": "true"}))).await;
    assert_eq!((status, status_too), (200, 200));
    assert_eq!(half, whole[..whole.len() / 2]);
    let row = chat("1", &json!({"raw_body_base64": "eyJhIjoi/yJ9"}));
    let answer = client()
        .post(server.url(CHAT))
        .json(&row)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.bytes().await.expect("a body"), &b"{\"a\":\"\xff\"}"[..]);
}

#[tokio::test]
async fn headers_may_come_long_before_the_body() {
    let server = start(VLLM);
    let row = chat("1", &json!({"body_ms": "2000"}));
    let begun = Instant::now();
    let answer = client()
        .post(server.url(CHAT))
        .json(&row)
        .send()
        .await
        .expect("an answer");
    let head = begun.elapsed();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["choices"][0]["message"]["content"], "You said: hello there");
    assert!(
        begun.elapsed().checked_sub(head).unwrap() >= Duration::from_millis(200),
        "{head:?}"
    );
}

#[tokio::test]
async fn a_storm_turns_away_what_it_is_told_to_and_says_when_to_come_again() {
    let server = start(VLLM);
    let date = "Wed, 25 Nov 2026 10:00:00 GMT";
    let storm = json!({"status": 429, "retryAfter": date, "turnedAway": 2, "of": 3});
    let control = server.url("/control/storm");
    client().put(&control).json(&storm).send().await.expect("an answer");
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let request = client().post(server.url(CHAT)).json(&chat("1", &json!({})));
        let answer = request.send().await.expect("an answer");
        let again = answer.headers().get("retry-after");
        assert_eq!(again.is_some_and(|value| value == date), answer.status() == 429);
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [429, 429, 200, 429]);
    assert_eq!((server.requests()["1"].answered, server.turned_away()), (1, 3));

    server.set_storm(Some(Storm::of_all(503)));
    assert_eq!(post(&server, CHAT, &chat("1", &json!({}))).await.0, 503);
    client().delete(&control).send().await.expect("an answer");
    assert_eq!(post(&server, CHAT, &chat("1", &json!({}))).await.0, 200);
}

#[tokio::test]
async fn a_server_that_hangs_looks_healthy_and_stands_still() {
    let server = start(VLLM);
    post(&server, CHAT, &chat("1", &json!({}))).await;
    let control = server.url("/control/hang");
    client().put(&control).send().await.expect("an answer");
    let (_, before) = get(&server.url("/metrics")).await;
    let row = chat("2", &json!({"tokens_per_second": "100000"}));
    let held = tokio::spawn(client().post(server.url(CHAT)).json(&row).send());
    until("the row is received", || server.in_flight() == 1).await;
    assert_eq!(get(&server.url("/health")).await.0, 200);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!held.is_finished());
    assert_eq!(get(&server.url("/metrics")).await.1, before);
    client().delete(&control).send().await.expect("an answer");
    assert_eq!(held.await.expect("no panic").expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_long_answer_sends_nothing_while_its_tokens_are_counted() {
    for (args, metric_of_tokens) in [
        (VLLM, "vllm:generation_tokens_total{"),
        (LLAMA_SERVER, "llamacpp:tokens_predicted_total "),
    ] {
        let server = start(args);
        let row = chat("1", &json!({"hold": "gate", "tokens_per_second": "1000"}));
        let held = tokio::spawn(client().post(server.url(CHAT)).json(&row).send());
        until("the row is received", || server.in_flight() == 1).await;
        let begun = Instant::now();
        while metric(&server, metric_of_tokens).await < 20.0 {
            assert!(begun.elapsed() < PATIENCE, "no tokens are counted");
        }
        assert!(!held.is_finished());
        server.release_all();
        assert_eq!(held.await.expect("no panic").expect("an answer").status(), 200);
        // What was counted stays so when the answer is out.
        assert!(metric(&server, metric_of_tokens).await >= 20.0);
    }
}

#[tokio::test]
async fn tokens_and_queue_are_in_the_metrics_of_both_programs() {
    for (args, names) in [
        (
            VLLM,
            [
                "vllm:num_requests_running{",
                "vllm:num_requests_waiting{",
                "vllm:prompt_tokens_total{",
                "vllm:generation_tokens_total{",
            ],
        ),
        (
            LLAMA_SERVER,
            [
                "llamacpp:requests_processing ",
                "llamacpp:requests_deferred ",
                "llamacpp:prompt_tokens_total ",
                "llamacpp:tokens_predicted_total ",
            ],
        ),
    ] {
        let mut settings = Settings::local(args);
        settings.slots = 2;
        let server = FakeModelServer::start(settings).expect("a free port");
        for _ in 0..3 {
            post(&server, CHAT, &chat("1", &json!({}))).await;
        }
        assert_eq!(
            [counted(&server, names[2]).await, counted(&server, names[3]).await],
            [6, 12]
        );
        let held: Vec<_> = ["a", "b", "c"]
            .map(|id| chat(id, &json!({"hold": "gate"})))
            .map(|row| tokio::spawn(client().post(server.url(CHAT)).json(&row).send()))
            .into();
        until("all rows are received", || server.in_flight() == 3).await;
        assert_eq!(
            [counted(&server, names[0]).await, counted(&server, names[1]).await],
            [2, 1]
        );
        if args == VLLM {
            assert!((metric(&server, "vllm:kv_cache_usage_perc{").await - 1.0).abs() < 0.001);
        }
        server.release_all();
        for row in held {
            assert_eq!(row.await.expect("no panic").expect("an answer").status(), 200);
        }
        assert_eq!(
            [counted(&server, names[0]).await, counted(&server, names[1]).await],
            [0, 0]
        );
    }
}

#[tokio::test]
async fn a_row_that_crashes_the_server_takes_the_others_with_it() {
    let mut settings = Settings::local(VLLM);
    settings.crash = Duration::from_secs(3);
    let server = FakeModelServer::start(settings).expect("a free port");
    let url = server.url(CHAT);
    let held = tokio::spawn(client().post(&url).json(&chat("1", &json!({"hold": "gate"}))).send());
    until("the row is received", || server.in_flight() == 1).await;
    let poison = chat("2", &json!({"crash": "true", "times": "1"}));
    let crashed = client().post(&url).json(&poison).send().await.expect_err("no answer");
    assert!(!crashed.is_connect(), "{crashed:?}");
    held.await.expect("no panic").expect_err("no answer either");
    let refused = client()
        .get(server.url("/health"))
        .send()
        .await
        .expect_err("nobody listens");
    assert!(refused.is_connect(), "{refused:?}");
    until("requests of before are gone", || server.in_flight() == 0).await;

    let begun = Instant::now();
    while client().get(server.url("/health")).send().await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
    }
    assert_eq!(post(&server, CHAT, &poison).await.0, 200);
}
