//! What is in flight, waits, is turned away or breaks off; and who counts it.

use batch_inference_operator::engine::{Engine, engine_load};
use serde_json::{Value, json};

use crate::fake_model_server::{Count, EventKind, FakeModelServer, Recorder, Settings};
use crate::{CHAT, LLAMA_SERVER, LORAX, SGLANG, VLLM, chat, client, get, post, start, until};

#[tokio::test]
async fn a_held_answer_goes_when_it_is_released() {
    let server = start(LLAMA_SERVER);
    let url = server.url(CHAT);
    let held = tokio::spawn(client().post(url).json(&chat("1", &json!({"hold": "gate"}))).send());
    until("the row is received", || server.in_flight() == 1).await;
    assert_eq!(
        server.requests()["1"],
        Count {
            received: 1,
            answered: 0
        }
    );
    let (_, metrics) = get(&server.url("/metrics")).await;
    assert!(metrics.contains("llamacpp:requests_processing 1\n"), "{metrics}");

    let released = client()
        .post(server.url("/control/release/gate"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(released.status(), 200);
    assert_eq!(held.await.expect("no panic").expect("an answer").status(), 200);
    let (_, counts) = get(&server.url("/control/requests")).await;
    assert_eq!(counts, r#"{"1":{"received":1,"answered":1}}"#);
}

#[tokio::test]
async fn requests_beyond_the_slots_wait() {
    let mut settings = Settings::local(VLLM);
    settings.slots = 1;
    let server = FakeModelServer::start(settings).expect("a free port");
    let send = |id| {
        tokio::spawn(
            client()
                .post(server.url(CHAT))
                .json(&chat(id, &json!({"hold": "gate"})))
                .send(),
        )
    };
    let rows = [send("1"), send("2"), send("3")];
    until("all rows are received", || server.in_flight() == 3).await;
    let (_, metrics) = get(&server.url("/metrics")).await;
    assert!(
        metrics.contains("vllm:num_requests_running{engine=\"0\",model_name=\"model\"} 1.0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"model\"} 2.0\n"),
        "{metrics}"
    );
    server.release_all();
    for row in rows {
        assert_eq!(row.await.expect("no panic").expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn lorax_and_sglang_turn_away_what_they_have_no_room_for() {
    let of_lorax = json!({"error": "Model is overloaded", "error_type": "overloaded"});
    let of_sglang = json!({
        "object": "error", "message": "The request queue is full.", "type": "503", "param": null, "code": 503,
    });
    for (args, room, status, answer) in [
        (LORAX, &["--max-concurrent-requests", "2"][..], 429, of_lorax),
        (
            SGLANG,
            &["--max-running-requests", "1", "--max-queued-requests", "1"],
            503,
            of_sglang,
        ),
    ] {
        let server = start(&[args, room].concat());
        let send = |id| {
            let row = chat(id, &json!({"hold": "gate"}));
            tokio::spawn(client().post(server.url(CHAT)).json(&row).send())
        };
        let held = [send("1"), send("2")];
        until("both rows are received", || server.in_flight() == 2).await;
        let (refused, body) = post(&server, CHAT, &chat("3", &json!({}))).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((refused, body), (status, answer));
        server.release_all();
        for row in held {
            assert_eq!(row.await.expect("no panic").expect("an answer").status(), 200);
        }
    }
}

#[tokio::test]
async fn a_connection_is_dropped_in_the_middle_of_the_body() {
    let server = start(VLLM);
    let row = chat("1", &json!({"close": "true", "times": "1"}));
    // The end may overtake the head.
    if let Ok(answer) = client().post(server.url(CHAT)).json(&row).send().await {
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect_err("the body ends too early");
    }
    assert_eq!(post(&server, CHAT, &row).await.0, 200);
    assert_eq!(
        server.requests()["1"],
        Count {
            received: 2,
            answered: 1
        }
    );
}

#[tokio::test]
async fn a_dropped_server_ends_what_is_in_flight() {
    let server = start(VLLM);
    let held = tokio::spawn(
        client()
            .post(server.url(CHAT))
            .json(&chat("1", &json!({"hold": "gate"})))
            .send(),
    );
    until("the row is received", || server.in_flight() == 1).await;
    drop(server);
    held.await.expect("no panic").expect_err("no answer");
}

/// What the fake servers tell is read as the real ones' is.
#[tokio::test]
async fn the_load_is_in_the_metrics_of_every_program() {
    for (engine, args) in [
        (Engine::VLLM, VLLM),
        (Engine::LoRAX, LORAX),
        (Engine::SGLang, SGLANG),
        (Engine::LlamaCpp, LLAMA_SERVER),
    ] {
        let mut settings = Settings::local(args);
        settings.slots = 1;
        let server = FakeModelServer::start(settings).expect("a free port");
        let held: Vec<_> = ["a", "b"]
            .map(|id| chat(id, &json!({"hold": "gate"})))
            .map(|row| tokio::spawn(client().post(server.url(CHAT)).json(&row).send()))
            .into();
        until("both rows are received", || server.in_flight() == 2).await;
        let (_, page) = get(&server.url("/metrics")).await;
        let load = engine_load(engine, page.as_bytes()).unwrap_or_else(|| panic!("{engine}: {page}"));
        assert_eq!((load.running, load.waiting), (1, 1), "{engine}");
        server.release_all();
        for row in held {
            assert_eq!(row.await.expect("no panic").expect("an answer").status(), 200);
        }
        let (_, page) = get(&server.url("/metrics")).await;
        let after = engine_load(engine, page.as_bytes()).expect("a load");
        assert!(after.work > load.work, "{engine}: {after:?} after {load:?}");
    }
}

#[tokio::test]
async fn a_recorder_has_the_counts_of_servers_that_are_gone() {
    let recorder = Recorder::start(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    for pod in ["one", "two"] {
        let mut settings = Settings::local(VLLM);
        settings.recorder = Some(recorder.url());
        settings.pod = pod.to_owned();
        let server = FakeModelServer::start(settings).expect("a free port");
        post(&server, CHAT, &chat("row", &json!({}))).await;
    }
    assert_eq!(
        recorder.counts()["row"],
        Count {
            received: 2,
            answered: 2
        }
    );
    let events: Vec<_> = recorder
        .events()
        .into_iter()
        .map(|event| (event.pod, event.event))
        .collect();
    let (received, answered) = (EventKind::Received, EventKind::Answered);
    let wanted = [
        ("one", received),
        ("one", answered),
        ("two", received),
        ("two", answered),
    ];
    assert_eq!(events, wanted.map(|(pod, event)| (pod.to_owned(), event)));
}

#[tokio::test]
async fn a_row_that_cannot_be_recorded_is_not_answered() {
    let mut settings = Settings::local(VLLM);
    settings.recorder = Some("http://127.0.0.1:1/events".to_owned());
    let server = FakeModelServer::start(settings).expect("a free port");
    assert_eq!(post(&server, CHAT, &chat("1", &json!({}))).await.0, 502);
    assert_eq!(
        server.requests()["1"],
        Count {
            received: 1,
            answered: 0
        }
    );
}
