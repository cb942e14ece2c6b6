use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::storage::{Error as StoreError, Put, preflight};

const FOLDER: &str = "segments/";

/// An API server that knows ConfigMaps, each with the version of its last write, and refuses a write of what is not the newest.
#[derive(Clone, Default)]
struct ApiServer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    maps: BTreeMap<String, Value>,
    version: u64,
    /// So many writes are overtaken by somebody else's.
    overtaken: usize,
}

impl ApiServer {
    fn store(&self, name: &str) -> Store {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let output = OutputConfigMap { name: name.to_owned() };
        open_config_map(Client::new(service, "geometry"), "geometry", &output, FOLDER)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn map(&self, name: &str) -> Option<Value> {
        self.state().maps.get(name).cloned()
    }

    fn overtake(&self, times: usize) {
        self.state().overtaken = times;
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let path = parts.uri.path();
        let rest = path.strip_prefix("/api/v1/namespaces/geometry/configmaps").unwrap();
        let (status, answer) = self.state().answer(&parts.method, rest.trim_start_matches('/'), &body);
        let answer = Body::from(serde_json::to_vec(&answer).unwrap());
        Response::builder().status(status).body(answer).unwrap()
    }
}

impl State {
    fn answer(&mut self, method: &Method, name: &str, body: &[u8]) -> (StatusCode, Value) {
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        let there = self.maps.get(name).cloned();
        match (method, there) {
            (&Method::GET, Some(there)) => (StatusCode::OK, there),
            (&Method::POST, _) => {
                let name = sent["metadata"]["name"].as_str().unwrap().to_owned();
                if self.maps.contains_key(&name) || self.is_overtaken() {
                    return refusal(StatusCode::CONFLICT, "AlreadyExists");
                }
                (StatusCode::CREATED, self.write(name, sent))
            }
            (_, None) => refusal(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::PUT, Some(there)) => {
                if sent["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"] || self.is_overtaken() {
                    return refusal(StatusCode::CONFLICT, "Conflict");
                }
                (StatusCode::OK, self.write(name.to_owned(), sent))
            }
            (&Method::DELETE, Some(there)) => {
                let wanted = &sent["preconditions"]["resourceVersion"];
                if *wanted != there["metadata"]["resourceVersion"] {
                    return refusal(StatusCode::CONFLICT, "Conflict");
                }
                self.maps.remove(name);
                (StatusCode::OK, there)
            }
            (method, Some(_)) => panic!("{method} is not what a store asks"),
        }
    }

    /// A write of somebody else, which changes nothing but the version.
    fn is_overtaken(&mut self) -> bool {
        let is_overtaken = self.overtaken > 0;
        self.overtaken = self.overtaken.saturating_sub(1);
        is_overtaken
    }

    /// As the API server does, which notes the time of a write that changes something.
    fn write(&mut self, name: String, mut map: Value) -> Value {
        self.version += 1;
        map["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let time = format!("2026-11-24T10:00:{:02}Z", self.version % 60);
        map["metadata"]["managedFields"] = json!([{"manager": "batch-inference-feeder", "time": time}]);
        self.maps.insert(name, map.clone());
        map
    }
}

fn refusal(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason, "reason": reason,
        "code": code.as_u16(),
    });
    (code, status)
}

#[tokio::test]
async fn a_person_finds_results_as_text_under_their_names() {
    let server = ApiServer::default();
    let store = server.store("out");
    store.create("results.jsonl", "{\"a\":1}\n").await.unwrap();
    store.create("errors.jsonl", "").await.unwrap();
    store.create("leases/000001.json", "{}").await.unwrap();
    store.create("raw", vec![0xff_u8, 0]).await.unwrap();
    let map = server.map("out").unwrap();
    let data = json!({"results.jsonl": "{\"a\":1}\n", "errors.jsonl": "", "leases..000001.json": "{}"});
    assert_eq!(map["data"], data);
    assert_eq!(map["binaryData"], json!({"raw": "/wA="}));
    assert_eq!(map["metadata"].get("ownerReferences"), None);
    assert_eq!(
        map["metadata"]["labels"],
        json!({
            "app.kubernetes.io/name": "batch-inference-job",
            "app.kubernetes.io/component": "results",
            "app.kubernetes.io/managed-by": "batch-inference-operator",
        })
    );
    assert_eq!(store.read("raw").await.unwrap().unwrap().as_ref(), [0xff, 0]);
    assert_eq!(
        store.uri_of("results.jsonl").to_string(),
        "configmap://out/results.jsonl"
    );
}

#[tokio::test]
async fn of_many_creates_at_once_one_wins_and_it_stays() {
    let server = ApiServer::default();
    let stores: Vec<_> = (0..8).map(|_| server.store("out")).collect();
    let creates = stores.iter().enumerate();
    let creates = creates.map(|(number, store)| store.create("job.json", number.to_string()));
    let puts = join_all(creates).await;
    let won: Vec<_> = (0..8)
        .filter(|number| matches!(puts[*number], Ok(Put::Created)))
        .collect();
    let [won] = won[..] else { panic!("{puts:?}") };
    assert_eq!(stores[0].read("job.json").await.unwrap().unwrap(), won.to_string());
}

#[tokio::test]
async fn a_write_that_others_overtook_is_done_again_on_what_they_left() {
    let server = ApiServer::default();
    let store = server.store("out");
    server.overtake(2);
    assert_eq!(store.create("a", "1").await.unwrap(), Put::Created);
    server.overtake(2);
    store.replace("b", "2").await.unwrap();
    assert_eq!(server.map("out").unwrap()["data"], json!({"a": "1", "b": "2"}));
    server.overtake(usize::MAX);
    let error = store.replace("b", "3").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(server.map("out").unwrap()["data"]["b"], "2");
}

#[tokio::test]
async fn what_is_on_its_way_is_beside_the_results_and_goes_with_its_last_object() {
    let server = ApiServer::default();
    let store = server.store("out");
    store.create("job.json", "{}").await.unwrap();
    for key in ["segments/a", "segments/b"] {
        store.create(key, "rows").await.unwrap();
    }
    let keys = async |folder: &str| {
        let listed = store.list(folder).await.unwrap();
        listed
            .into_iter()
            .map(|entry| (entry.key, entry.size))
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(FOLDER).await, [("segments/a".into(), 4), ("segments/b".into(), 4)]);
    assert_eq!(keys("").await.len(), 3);
    assert_eq!(keys("segment").await, []);
    let beside = server.map("out-segments").unwrap();
    assert_eq!(beside["data"], json!({"segments..a": "rows", "segments..b": "rows"}));
    store.delete(["segments/a".to_owned()].into_iter()).await.unwrap();
    assert_eq!(keys(FOLDER).await, [("segments/b".into(), 4)]);
    let both = ["segments/b", "segments/never-there"].map(str::to_owned);
    store.delete(both.into_iter()).await.unwrap();
    assert_eq!(server.map("out-segments"), None);
    assert_eq!(server.map("out").unwrap()["data"], json!({"job.json": "{}"}));
}

#[tokio::test]
async fn parts_of_objects_end_where_the_object_ends() {
    let store = ApiServer::default().store("out");
    store.create("ranges", "0123456789").await.unwrap();
    assert_eq!(store.size("ranges").await.unwrap(), Some(10));
    assert_eq!(store.read_range("ranges", 2..5).await.unwrap(), "234");
    assert_eq!(store.read_range("ranges", 8..99).await.unwrap(), "89");
    assert_eq!(store.read("nothing").await.unwrap(), None);
    assert_eq!(store.size("nothing").await.unwrap(), None);
}

#[tokio::test]
async fn objects_are_written_through_a_writer_too() {
    let store = ApiServer::default().store("out");
    let mut writer = store.overwrite("results.jsonl", 9);
    writer.write(b"first\n").await.unwrap();
    writer.write(b"second\n").await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(store.read("results.jsonl").await.unwrap().unwrap(), "first\nsecond\n");
}

#[tokio::test]
async fn a_preflight_finds_all_that_an_output_needs_and_leaves_nothing() {
    let server = ApiServer::default();
    let found = preflight(&server.store("out"), "preflight/uid").await.unwrap();
    assert!(found.creates_once && found.deletes, "{found:?}");
    assert_eq!(server.map("out"), None);
}

#[tokio::test]
async fn each_write_counts_also_one_of_the_same_content() {
    let server = ApiServer::default();
    let store = server.store("out");
    let mut before = None;
    for _ in 0..3 {
        store.replace("leases/000001.json", "{}").await.unwrap();
        let writes = server.map("out").unwrap()["metadata"]["annotations"]["batchinference.dev/writes"].clone();
        assert_ne!(
            before.replace(writes.clone()),
            Some(writes),
            "the API server would see no change"
        );
    }
    let lease = store.read_dated("leases/000001.json").await.unwrap().unwrap();
    let time: jiff::Timestamp = "2026-11-24T10:00:03Z".parse().unwrap();
    assert_eq!(lease.modified, std::time::SystemTime::from(time));
}

#[tokio::test]
async fn a_config_map_of_somebody_else_is_refused_and_left_alone() {
    let server = ApiServer::default();
    let theirs = json!({"metadata": {"name": "out"}, "data": {"settings": "theirs"}});
    server.state().write("out".into(), theirs);
    let before = server.map("out");
    let store = server.store("out");
    let refusals = [
        store.create("job.json", "x").await.map(drop).unwrap_err(),
        store.read("job.json").await.map(drop).unwrap_err(),
        store.delete(["settings".to_owned()].into_iter()).await.unwrap_err(),
    ];
    for error in refusals {
        assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
        assert!(
            error.to_string().contains("ConfigMap out was not made by the operator"),
            "{error}"
        );
    }
    assert_eq!(server.map("out"), before);
    // What one job has on its way is no place for another's results.
    server.store("other").create("segments/a", "rows").await.unwrap();
    let error = server
        .store("other-segments")
        .create("job.json", "x")
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
}

#[tokio::test]
async fn what_kubernetes_would_not_take_is_refused_with_its_size_and_all_else_stays() {
    let server = ApiServer::default();
    let store = server.store("out");
    store.create("segments/a", "x".repeat(900 << 10)).await.unwrap();
    let error = store.create("segments/b", "y").await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error:?}");
    let want = "ConfigMap out-segments would have 921601 bytes, and may have 921600";
    assert!(error.to_string().contains(want), "{error}");
    assert_eq!(store.list(FOLDER).await.unwrap().len(), 1);
    store.create("results.jsonl", "x".repeat(1 << 20)).await.unwrap();
    let error = store.create("manifest.json", "{}").await.unwrap_err();
    assert!(
        error.to_string().contains("name a store or a claim in spec.output.uri"),
        "{error}"
    );
}
