//! What is on the volume already: of a job that was killed, of one that has filled it, and of somebody's own client.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use super::super::*;
use super::hub::{COMMIT, Hub, QUICK, WEIGHTS, hub_folder, limits, snapshot, volume, weights_blob};
use crate::api::reason::Reason;

#[tokio::test]
async fn what_a_job_left_that_was_killed_is_taken_up() {
    let (hub, volume) = (Hub::start().await, volume());
    let folder = Folder::new(volume.path(), "org/model");
    folder.make(COMMIT).await.unwrap();
    let first = Holder::new("ns/first".into(), "first".into());
    let killed = Lock::new(folder.lock(), first, QUICK);
    killed.acquire(|_| ()).await.unwrap();
    let (blob, content) = weights_blob(&hub);
    let incomplete = hub_folder(&volume).join("blobs").join(format!("{blob}.incomplete"));
    std::fs::write(incomplete, &content[..200_000]).unwrap();
    let mut filler = hub.filler(&volume, "second");
    filler.rhythm.stale_after = Duration::ZERO;
    filler.fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 200_000)));
    assert_eq!(snapshot(&volume, WEIGHTS), content);
    assert!(!folder.lock().exists());
}

#[tokio::test]
async fn what_somebody_s_own_client_brought_is_checked_and_used() {
    let (hub, volume) = (Hub::start().await, volume());
    let (blob, content) = weights_blob(&hub);
    let blobs = hub_folder(&volume).join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(&blob), &content).unwrap();
    hub.filler(&volume, "first").fill().await.unwrap();
    assert!(hub.asked().iter().all(|(name, _)| name != WEIGHTS));
    assert_eq!(snapshot(&volume, WEIGHTS), content);
    // One that is not what its name says is not.
    std::fs::remove_dir_all(volume.path()).unwrap();
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(&blob), vec![0; content.len()]).unwrap();
    hub.filler(&volume, "first").fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 0)));
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

#[tokio::test]
async fn a_cache_that_was_filled_once_needs_no_hub() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    hub.change(|hub| hub.is_away = true);
    for revision in ["main", COMMIT] {
        let mut filler = hub.filler(&volume, "second");
        filler.wanted.revision = revision.into();
        filler.fill().await.unwrap();
        assert_eq!(filler.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
    }
    let mut other = hub.filler(&volume, "second");
    other.wanted.repository = "org/other".into();
    let away = other.fill().await.unwrap_err();
    assert!(matches!(away, FillError::Hub(HubError::Unreachable(_))), "{away}");
}

#[tokio::test]
async fn a_cache_that_was_filled_once_is_used_where_the_hub_refuses_the_model() {
    for refusal in [
        (StatusCode::FORBIDDEN, "GatedRepo"),
        (StatusCode::UNAUTHORIZED, "RepoNotFound"),
    ] {
        let (hub, volume) = (Hub::start().await, volume());
        let refused = hub.filler(&volume, "none");
        hub.change(|hub| hub.refusal = Some(refusal));
        let refused = refused.fill().await.unwrap_err();
        assert!(matches!(&refused, FillError::Hub(_)), "{refused}");
        hub.change(|hub| hub.refusal = None);
        hub.filler(&volume, "first").fill().await.unwrap();
        hub.change(|hub| hub.refusal = Some(refusal));
        let second = hub.filler(&volume, "second");
        second.fill().await.unwrap();
        assert_eq!(second.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
        // One in which something is missing is not.
        let (blob, _) = weights_blob(&hub);
        std::fs::remove_file(hub_folder(&volume).join("blobs").join(blob)).unwrap();
        let refused = hub.filler(&volume, "third").fill().await.unwrap_err();
        assert!(
            matches!(&refused, FillError::Hub(HubError::Denied(_) | HubError::NotFound(_))),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_hub_that_says_something_else_is_no_hub() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    // As a page to log in at would be.
    hub.change(|hub| hub.refusal = Some((StatusCode::OK, "")));
    hub.filler(&volume, "second").fill().await.unwrap();
}

/// A GGUF repository often has a `config.json`, which llama-server does not read and nobody brings.
#[tokio::test]
async fn a_filled_cache_of_a_known_commit_asks_the_hub_for_nothing() {
    for engine in [Engine::VLLM, Engine::LlamaCpp] {
        let (hub, volume) = (Hub::start().await, volume());
        hub.change(|hub| _ = hub.by_name.insert("m-Q4_K_M.gguf".into(), b"GGUF".to_vec()));
        let filler = |uid| {
            let mut filler = hub.filler(&volume, uid);
            filler.wanted.engine = engine;
            filler.wanted.revision = COMMIT.into();
            filler.limits = Some(limits(engine, &[]));
            filler
        };
        filler("first").fill().await.unwrap();
        assert_ne!(hub.requests(), 0);
        hub.change(|hub| hub.refusal = Some((StatusCode::FORBIDDEN, "GatedRepo")));
        filler("second").fill().await.unwrap();
        assert_eq!(hub.requests(), 0, "{engine}");
    }
}

#[tokio::test]
async fn a_config_that_somebody_s_own_client_brought_is_read_without_a_hub() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| {
        let config = json!({"quantization_config": {"quant_method": "hqq"}}).to_string();
        hub.by_name.insert("config.json".into(), config.into_bytes());
    });
    hub.filler(&volume, "first").fill().await.unwrap();
    std::fs::remove_dir_all(volume.path().join("batch-inference")).unwrap();
    hub.change(|hub| hub.is_away = true);
    let mut filler = hub.filler(&volume, "second");
    filler.limits = Some(limits(Engine::VLLM, &[]));
    match filler.fill().await.unwrap_err() {
        FillError::Refused(refusal) => assert_eq!(refusal.reason(), Reason::QuantizationUnsupported),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_config_that_is_too_large_is_brought_and_not_read() {
    let (hub, volume) = (Hub::start().await, volume());
    let padding = " ".repeat(4 << 20);
    let config = format!(r#"{{"quantization_config": {{"quant_method": "hqq"}}}}{padding}"#);
    hub.change(|hub| _ = hub.by_name.insert("config.json".into(), config.clone().into_bytes()));
    for uid in ["first", "second"] {
        let mut filler = hub.filler(&volume, uid);
        filler.limits = Some(limits(Engine::VLLM, &[]));
        filler.fill().await.unwrap();
    }
    let configs = hub.asked().into_iter().filter(|(name, _)| name == "config.json");
    assert_eq!(configs.count(), 1);
    assert_eq!(snapshot(&volume, "config.json"), config.as_bytes());
}

/// As `hf download` leaves it: nothing but the cache.
#[tokio::test]
async fn a_cache_that_somebody_s_own_client_filled_needs_no_hub_and_is_checked() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    let own = volume.path().join("batch-inference");
    std::fs::remove_dir_all(&own).unwrap();
    let vocabulary = hub_folder(&volume)
        .join("snapshots")
        .join(COMMIT)
        .join("tokenizer/vocab.json");
    std::fs::remove_file(&vocabulary).unwrap();
    hub.change(|hub| hub.is_away = true);
    for revision in ["main", COMMIT] {
        let mut filler = hub.filler(&volume, "second");
        filler.wanted.revision = revision.into();
        filler.fill().await.unwrap();
        assert_eq!(filler.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
    }
    assert!(!vocabulary.exists());
    // A hub knows what else there is.
    hub.change(|hub| hub.is_away = false);
    let mut filler = hub.filler(&volume, "third");
    filler.wanted.revision = COMMIT.into();
    filler.fill().await.unwrap();
    assert_eq!(std::fs::read(&vocabulary).unwrap(), b"{}");
    // What is not as its name says is not taken.
    std::fs::remove_dir_all(&own).unwrap();
    hub.change(|hub| hub.is_away = true);
    let (blob, content) = weights_blob(&hub);
    std::fs::write(hub_folder(&volume).join("blobs").join(blob), vec![0; content.len()]).unwrap();
    let away = hub.filler(&volume, "fourth").fill().await.unwrap_err();
    assert!(matches!(away, FillError::Hub(HubError::Unreachable(_))), "{away}");
}

/// Which other files the repository has is not known, and a passing outage ends no job.
#[tokio::test]
async fn what_somebody_s_own_client_did_not_bring_is_waited_for_while_no_hub_answers() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| _ = hub.by_name.insert("m-Q4_K_M.gguf".into(), b"GGUF".to_vec()));
    let filler = |engine, tag: Option<&str>| {
        let mut filler = hub.filler(&volume, "first");
        filler.wanted.engine = engine;
        filler.wanted.choice.tag = tag.map(str::to_owned);
        filler
    };
    filler(Engine::LlamaCpp, None).fill().await.unwrap();
    hub.change(|hub| hub.is_away = true);
    // A hub has listed all that there is.
    let other_file = filler(Engine::LlamaCpp, Some("Q8_0"));
    let refused = other_file.fill().await.unwrap_err();
    assert!(matches!(refused, FillError::Refused(_)), "{refused}");
    std::fs::remove_dir_all(volume.path().join("batch-inference")).unwrap();
    for wanting in [other_file, filler(Engine::VLLM, None)] {
        let away = wanting.fill().await.unwrap_err();
        assert!(matches!(away, FillError::Hub(HubError::Unreachable(_))), "{away}");
    }
    filler(Engine::LlamaCpp, None).fill().await.unwrap();
}

#[tokio::test]
async fn a_file_in_a_snapshot_that_was_not_checked_is_replaced() {
    let (hub, volume) = (Hub::start().await, volume());
    let (_, content) = weights_blob(&hub);
    let folder = hub_folder(&volume).join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(WEIGHTS), vec![0; content.len()]).unwrap();
    hub.filler(&volume, "first").fill().await.unwrap();
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

#[tokio::test]
async fn files_that_were_removed_are_brought_again() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.filler(&volume, "first").fill().await.unwrap();
    let (blob, content) = weights_blob(&hub);
    std::fs::remove_file(hub_folder(&volume).join("blobs").join(blob)).unwrap();
    hub.asked();
    hub.filler(&volume, "second").fill().await.unwrap();
    assert_eq!(hub.asked(), [(WEIGHTS.to_owned(), 0)]);
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}
