//! What comes of a small hub's files on a volume. [`hub`] is that hub; [`found`] tests what is there already.

#[path = "fill_tests/found.rs"]
mod found;
#[path = "fill_tests/hub.rs"]
mod hub;

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;
use hub::{COMMIT, Hub, WEIGHTS, exists, hub_folder, limits, snapshot, volume, weights_blob};

#[tokio::test]
async fn files_lie_as_the_hub_s_own_clients_keep_them_and_the_second_job_downloads_nothing() {
    let (hub, volume) = (Hub::start().await, volume());
    let first = hub.filler(&volume, "first");
    first.fill().await.unwrap();
    let fetched = hub.asked();
    assert_eq!(fetched.len(), 2, "{fetched:?}");
    assert!(fetched.contains(&(WEIGHTS.to_owned(), 0)));
    let (blob, content) = weights_blob(&hub);
    assert_eq!(snapshot(&volume, WEIGHTS), content);
    assert_eq!(snapshot(&volume, "tokenizer/vocab.json"), b"{}");
    assert_eq!(snapshot(&volume, "added_tokens.json"), b"");
    let folder = hub_folder(&volume);
    assert!(!folder.join("snapshots").join(COMMIT).join("README.md").exists());
    let mode = std::fs::metadata(folder.join("blobs").join(blob))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o644, "servers have other users");
    for revision in ["main", COMMIT] {
        assert_eq!(
            std::fs::read_to_string(folder.join("refs").join(revision)).unwrap(),
            COMMIT
        );
    }
    assert_eq!((first.meter.there(), first.meter.downloaded()), (300_004, 300_002));

    let second = hub.filler(&volume, "second");
    second.fill().await.unwrap();
    assert!(hub.asked().is_empty());
    assert_eq!((second.meter.there(), second.meter.downloaded()), (300_004, 0));
    assert_eq!(second.told.commit.lock().unwrap().as_deref(), Some(COMMIT));
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_where_it_did() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| _ = hub.breaks.insert(WEIGHTS.into(), 100_000));
    let filler = hub.filler(&volume, "first");
    filler.fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 100_000)));
    assert_eq!(snapshot(&volume, WEIGHTS), weights_blob(&hub).1);
    assert_eq!((filler.meter.there(), filler.meter.downloaded()), (300_004, 300_002));
}

#[tokio::test]
async fn what_one_file_fails_with_does_not_give_up_the_others() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| _ = hub.breaks.insert(WEIGHTS.into(), 0));
    let filler = hub.filler(&volume, "first");
    let broken = filler.fill().await.unwrap_err();
    assert!(matches!(&broken, FillError::CutShort { bytes: 0, .. }), "{broken}");
    assert_eq!(snapshot(&volume, "config.json"), b"{}");
    hub.asked();
    filler.fill().await.unwrap();
    assert_eq!(hub.asked(), [(WEIGHTS.to_owned(), 0)]);
}

#[tokio::test]
async fn a_hub_without_ranges_is_asked_for_all_of_it_again() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| {
        hub.gives_no_ranges = true;
        hub.breaks.insert(WEIGHTS.into(), 100_000);
    });
    let filler = hub.filler(&volume, "first");
    filler.fill().await.unwrap();
    assert!(hub.asked().contains(&(WEIGHTS.to_owned(), 100_000)));
    assert_eq!(snapshot(&volume, WEIGHTS), weights_blob(&hub).1);
    assert_eq!(filler.meter.there(), 300_004);
}

#[tokio::test]
async fn a_file_with_a_wrong_checksum_is_never_kept() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| _ = hub.wrong.insert(WEIGHTS.into()));
    let filler = hub.filler(&volume, "first");
    match filler.fill().await.unwrap_err() {
        FillError::Damaged { file, .. } => assert_eq!(file, WEIGHTS),
        other => panic!("{other}"),
    }
    let blobs = hub_folder(&volume).join("blobs");
    let (blob, content) = weights_blob(&hub);
    assert!(!blobs.join(&blob).exists() && !blobs.join(format!("{blob}.incomplete")).exists());
    filler.fill().await.unwrap();
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

/// As a start of the same job on a node that lost touch would.
#[tokio::test]
async fn a_file_that_somebody_else_writes_to_meanwhile_is_never_kept() {
    let (hub, volume) = (Hub::start().await, volume());
    let gate = hub.hold_weights();
    let (blob, content) = weights_blob(&hub);
    let incomplete = hub_folder(&volume).join("blobs").join(format!("{blob}.incomplete"));
    let filler = hub.filler(&volume, "first");
    let writes = async {
        exists(&incomplete).await;
        std::fs::OpenOptions::new()
            .append(true)
            .open(&incomplete)
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"theirs"))
            .unwrap();
        gate.notify_one();
    };
    let (outcome, ()) = tokio::join!(filler.fill(), writes);
    let damaged = outcome.unwrap_err();
    assert!(matches!(&damaged, FillError::Damaged { .. }), "{damaged}");
    assert!(!incomplete.exists());
    gate.notify_one();
    filler.fill().await.unwrap();
    assert_eq!(snapshot(&volume, WEIGHTS), content);
}

#[tokio::test]
async fn a_filling_that_is_stopped_gives_its_lock_back() {
    let (hub, volume) = (Hub::start().await, volume());
    let _gate = hub.hold_weights();
    let (blob, _) = weights_blob(&hub);
    let incomplete = hub_folder(&volume).join("blobs").join(format!("{blob}.incomplete"));
    let lock = volume.path().join("batch-inference/models--org--model/lock");
    let filler = hub.filler(&volume, "first");
    tokio::select! {
        outcome = filler.fill() => panic!("{outcome:?}"),
        () = exists(&incomplete) => {}
    }
    assert!(lock.exists());
    filler.give_back().await;
    assert!(!lock.exists());
}

#[tokio::test]
async fn two_jobs_that_need_the_same_model_at_once_download_it_once() {
    let (hub, volume) = (Hub::start().await, volume());
    let gate = hub.hold_weights();
    let (first, second) = (hub.filler(&volume, "first"), hub.filler(&volume, "second"));
    let after_first = async {
        // The first has the lock when the second begins.
        exists(&volume.path().join("batch-inference/models--org--model/lock")).await;
        tokio::join!(second.fill(), async {
            second.told.waits.notified().await;
            gate.notify_one();
        })
    };
    let (filled, (filled_too, ())) = tokio::join!(first.fill(), after_first);
    filled.unwrap();
    filled_too.unwrap();
    let weights = hub.asked().into_iter().filter(|(name, _)| name == WEIGHTS);
    assert_eq!(weights.count(), 1);
    assert_eq!(second.meter.downloaded(), 0);
}

/// The feeder may have had no answer when it asked.
#[tokio::test]
async fn a_model_that_may_not_be_run_is_refused_before_it_is_brought() {
    let qwen3 = || json!({"model_type": "qwen3"});
    let awq = || json!({"model_type": "qwen3", "quantization_config": {"quant_method": "awq"}});
    for (engine, args, parameters, config, refused) in [
        (Engine::VLLM, &[][..], 7, qwen3(), None),
        (
            Engine::VLLM,
            &[],
            8,
            qwen3(),
            Some("has 8 parameters, and this operator runs models of up to 7"),
        ),
        (
            Engine::LoRAX,
            &[],
            7,
            qwen3(),
            Some("does not load models of the kind qwen3"),
        ),
        (Engine::VLLM, &["--quantization", "awq_marlin"], 7, awq(), None),
        (
            Engine::VLLM,
            &["--quantization", "gptq"],
            7,
            awq(),
            Some("org/model is quantized with awq already"),
        ),
    ] {
        let (hub, volume) = (Hub::start().await, volume());
        hub.change(|hub| {
            hub.parameters = parameters;
            hub.by_name
                .insert("config.json".into(), config.to_string().into_bytes());
        });
        let mut filler = hub.filler(&volume, "first");
        filler.wanted.engine = engine;
        filler.limits = Some(limits(engine, args));
        let said = filler.fill().await.err().map(|error| error.to_string());
        match (&said, refused) {
            (Some(said), Some(words)) => assert!(said.contains(words), "{said}"),
            (said, refused) => assert_eq!(said.as_deref(), refused),
        }
        assert_eq!(filler.told.commit.lock().unwrap().is_none(), refused.is_some());
        assert_eq!(hub.asked().iter().any(|(name, _)| name == WEIGHTS), refused.is_none());
    }
}

#[tokio::test]
async fn a_hub_that_tells_no_checksums_fills_nothing() {
    let (hub, volume) = (Hub::start().await, volume());
    hub.change(|hub| hub.tells_no_checksums = true);
    let unclear = hub.filler(&volume, "first").fill().await.unwrap_err();
    assert!(
        unclear.to_string().contains("does not say size and checksum"),
        "{unclear}"
    );
    assert!(!hub_folder(&volume).exists());
}
