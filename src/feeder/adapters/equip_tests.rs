use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;

use super::*;
use crate::api::Engine;
use crate::api::adapters::AdaptersSpec;
use crate::api::status::{AdaptersStatus, FeederStatus};
use crate::engine::AdapterNames;
use crate::feeder::adapters::OfRow;
use crate::feeder::replicas::Address;
use crate::feeder::report;
use crate::feeder::reporter::{StatusWriter, WriteError};
use crate::storage::loopback::serve;

struct Unheard;

impl StatusWriter for Unheard {
    async fn write(&self, _: &FeederStatus) -> Result<(), WriteError> {
        Ok(())
    }
}

/// The adapters that a server has, and how often it was asked for any.
#[derive(Default)]
struct Loads {
    has: BTreeSet<String>,
    asked: usize,
    /// So many are refused first, as if its disk had no room.
    refuses_first: usize,
}

type Shared = Arc<Mutex<Loads>>;

/// A vLLM that has every adapter but `org/missing`.
async fn server() -> (Shared, SocketAddr) {
    async fn load(State(loads): State<Shared>, Json(request): Json<Value>) -> StatusCode {
        let mut loads = loads.lock().unwrap();
        let name = request["lora_name"].as_str().unwrap().to_owned();
        loads.asked += 1;
        if name == "org/missing" || loads.asked <= loads.refuses_first {
            return StatusCode::NOT_FOUND;
        }
        loads.has.insert(name);
        StatusCode::OK
    }
    let loads = Shared::default();
    let router = axum::Router::new()
        .route("/v1/load_lora_adapter", post(load))
        .with_state(loads.clone());
    (loads, serve(router).await)
}

fn replica(address: SocketAddr) -> Replica {
    Replica {
        address: Address::Pod(address),
        pod: "server-a".to_owned(),
    }
}

fn equipment(names: &[&str], on_error: OnAdapterError) -> Equipment {
    let mut report = report::Report::first(None);
    report.adapters = Some(AdaptersStatus::default());
    let (reporter, _) = Reporter::new(report, Unheard);
    let adapter = |name: &&str| Known {
        name: (*name).into(),
        path: (*name).to_owned(),
        rows: 2,
        revision: None,
        rank: None,
        bad: None,
    };
    Equipment {
        asking: Asking {
            engine: Engine::VLLM,
            served_name: "base".to_owned(),
            names: AdapterNames::new(AdaptersSpec::default()),
            token: None,
            is_checked: false,
        },
        adapters: names.iter().map(adapter).collect(),
        ending: Some(Ending { on_error, rows: 10 }),
        ask_again: ASK_AGAIN,
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        reporter,
    }
}

/// Asks a server that refuses what another one has again at once.
fn equipment_asking_at_once(names: &[&str]) -> Equipment {
    Equipment {
        ask_again: Duration::ZERO,
        ..equipment(names, OnAdapterError::FailRows)
    }
}

async fn until_ready(found: &mut Equipped, replica: &Replica) {
    let is_ready = |replicas: &Replicas| replicas.get(replica) == Some(&Readiness::Ready);
    let _ = found.replicas.wait_for(is_ready).await.unwrap();
}

#[tokio::test]
async fn a_server_gets_rows_when_it_has_the_adapters_which_it_keeps_over_a_missed_probe() {
    let (loads, address) = server().await;
    let replica = replica(address);
    let (tell, there) = watch::channel(Replicas::new());
    let equipping = equip(equipment(&["org/sql", "org/chat"], OnAdapterError::FailRows), there);
    let mut found = equipping.found();
    tell.send_replace([(replica.clone(), Readiness::Unready)].into());
    tell.send_replace([(replica.clone(), Readiness::Ready)].into());
    until_ready(&mut found, &replica).await;
    assert_eq!(loads.lock().unwrap().has.len(), 2);
    let table = found.table.borrow().clone().expect("a table");
    assert!(
        matches!(table.of_row(Some("org/sql")), OfRow::Sent(name, call) if **name == *"org/sql" && call.model == "org/sql")
    );
    assert!(matches!(table.of_row(Some("base")), OfRow::Base));
    tell.send_replace([(replica.clone(), Readiness::Unready)].into());
    let is_unready = |replicas: &Replicas| replicas.get(&replica) == Some(&Readiness::Unready);
    let _ = found.replicas.wait_for(is_unready).await.unwrap();
    tell.send_replace([(replica.clone(), Readiness::Ready)].into());
    until_ready(&mut found, &replica).await;
    assert_eq!(loads.lock().unwrap().asked, 2);
}

#[tokio::test]
async fn servers_that_refuse_what_nobody_has_all_get_rows() {
    let ((_, first), (_, second)) = (server().await, server().await);
    let replicas = [first, second].map(replica);
    let (tell, there) = watch::channel(Replicas::new());
    let equipment = equipment(&["org/sql", "org/missing"], OnAdapterError::FailRows);
    let reporter = equipment.reporter.clone();
    let equipping = equip(equipment, there);
    let mut found = equipping.found();
    tell.send_replace(replicas.clone().map(|replica| (replica, Readiness::Ready)).into());
    for replica in &replicas {
        let ready = tokio::time::timeout(ASK_AGAIN, until_ready(&mut found, replica));
        ready.await.expect("it is not asked again");
    }
    assert_eq!(reporter.latest().waits.get(&Place::Adapters), None);
}

#[tokio::test]
async fn a_job_with_results_is_not_ended_by_an_adapter() {
    let (_, address) = server().await;
    let replica = replica(address);
    let (tell, there) = watch::channel(Replicas::new());
    let equipment = Equipment {
        ending: None,
        ..equipment(&["org/missing"], OnAdapterError::FailJob)
    };
    let equipping = equip(equipment, there);
    let mut found = equipping.found();
    tell.send_replace([(replica.clone(), Readiness::Ready)].into());
    until_ready(&mut found, &replica).await;
    let table = found.table.borrow().clone().expect("a table");
    assert!(matches!(table.of_row(Some("org/missing")), OfRow::Refused(..)));
}

#[tokio::test]
async fn a_server_that_lacks_what_it_had_loads_it_again() {
    let (loads, address) = server().await;
    let replica = replica(address);
    let (tell, there) = watch::channel(Replicas::new());
    let equipping = equip(equipment(&["org/sql"], OnAdapterError::FailRows), there);
    let mut found = equipping.found();
    tell.send_replace([(replica.clone(), Readiness::Ready)].into());
    until_ready(&mut found, &replica).await;
    let elsewhere = Address::Pod(([127, 0, 0, 2], 80).into());
    for address in [elsewhere, replica.address.clone()] {
        found.lost.send(address).unwrap();
    }
    found.replicas.changed().await.unwrap();
    until_ready(&mut found, &replica).await;
    assert_eq!(loads.lock().unwrap().asked, 2);
}

#[tokio::test]
async fn rows_of_an_adapter_that_the_first_server_refuses_are_refused() {
    let (loads, address) = server().await;
    let replica = replica(address);
    let (tell, there) = watch::channel(Replicas::new());
    let equipment = equipment(&["org/sql", "org/missing"], OnAdapterError::FailRows);
    let reporter = equipment.reporter.clone();
    let equipping = equip(equipment, there);
    let mut found = equipping.found();
    tell.send_replace([(replica.clone(), Readiness::Ready)].into());
    until_ready(&mut found, &replica).await;
    assert_eq!(
        loads.lock().unwrap().asked,
        4,
        "one that is refused is asked for three times"
    );
    let table = found.table.borrow().clone().expect("a table");
    assert!(matches!(table.of_row(Some("org/missing")), OfRow::Refused(..)));
    let warnings = reporter.latest().warnings;
    assert!(warnings[0].contains("`org/missing` (2 rows)"), "{warnings:?}");
}

/// How often one server is asked for an adapter in three rounds.
const ASKED_IN_THREE_ROUNDS: usize = 9;

#[tokio::test]
async fn adapters_that_the_only_server_left_refuses_are_given_up_for_the_next_start() {
    let ((_, first), (loads, second)) = (server().await, server().await);
    loads.lock().unwrap().refuses_first = usize::MAX;
    let [first, second] = [first, second].map(replica);
    let (tell, there) = watch::channel(Replicas::new());
    let equipment = equipment_asking_at_once(&["org/sql"]);
    let reporter = equipment.reporter.clone();
    let mut equipping = equip(equipment, there);
    let mut found = equipping.found();
    tell.send_replace([(first.clone(), Readiness::Ready)].into());
    until_ready(&mut found, &first).await;
    tell.send_replace([(second, Readiness::Ready)].into());
    assert!(matches!(equipping.ended().await, Stop::Restart(_)));
    assert_eq!(loads.lock().unwrap().asked, ASKED_IN_THREE_ROUNDS);
    let told = reporter.latest().adapters.expect("the status of adapters");
    assert_eq!(told.most_used[0].reason.as_deref(), Some("AdapterNotLoaded"));
}

#[tokio::test]
async fn adapters_are_not_given_up_while_a_server_has_them() {
    let ((_, first), (loads, second)) = (server().await, server().await);
    loads.lock().unwrap().refuses_first = ASKED_IN_THREE_ROUNDS;
    let [first, second] = [first, second].map(replica);
    let (tell, there) = watch::channel(Replicas::new());
    let equipping = equip(equipment_asking_at_once(&["org/sql"]), there);
    let mut found = equipping.found();
    tell.send_replace([(first.clone(), Readiness::Ready)].into());
    until_ready(&mut found, &first).await;
    let both = [first, second.clone()].map(|replica| (replica, Readiness::Ready));
    tell.send_replace(both.into());
    until_ready(&mut found, &second).await;
}

#[tokio::test]
async fn a_job_that_is_to_fail_by_an_adapter_ends() {
    let (_, address) = server().await;
    let (tell, there) = watch::channel(Replicas::new());
    let mut equipping = equip(equipment(&["org/missing"], OnAdapterError::FailJob), there);
    tell.send_replace([(replica(address), Readiness::Ready)].into());
    let Stop::Ended(end) = equipping.ended().await else {
        panic!("no end");
    };
    assert_eq!(end.reason, Reason::AdapterNotLoaded);
    assert!(equipping.found().table.borrow().is_none());
}

/// Equipping, where a test says what servers do.
struct Stage {
    work: Work,
    found: Equipped,
    tell: watch::Sender<Replicas>,
}

impl Stage {
    fn new() -> Self {
        let (tell, there) = watch::channel(Replicas::new());
        let (work, found) = Work::new(equipment(&["org/sql"], OnAdapterError::FailRows), there);
        Self { work, found, tell }
    }

    /// One whose first server has the adapters, and one more that is ready is asked for them.
    fn with_the_first_equipped() -> Self {
        let mut stage = Self::new();
        stage.there(&[(FIRST, Readiness::Ready)]);
        stage.loads(FIRST).unwrap();
        stage.there(&[(FIRST, Readiness::Ready), (SECOND, Readiness::Ready)]);
        stage
    }

    /// Has these servers there.
    fn there(&mut self, servers: &[(u8, Readiness)]) {
        self.change(servers);
        self.work.follow();
    }

    /// The same, and nobody has looked yet.
    fn change(&mut self, servers: &[(u8, Readiness)]) {
        let there = servers
            .iter()
            .map(|(number, readiness)| (numbered(*number), *readiness));
        self.tell.send_replace(there.collect());
    }

    /// A server that is asked has all.
    fn loads(&mut self, number: u8) -> Result<(), Stop> {
        self.says(number, Report::default())
    }

    /// A server that is asked refuses the adapter.
    fn refuses(&mut self, number: u8) -> Result<(), Stop> {
        let report = Report {
            refused: vec![(0, Bad::not_loaded("no room"))],
            ..Report::default()
        };
        self.says(number, report)
    }

    fn says(&mut self, number: u8, report: Report) -> Result<(), Stop> {
        let replica = numbered(number);
        let id = self.work.loading[&replica].id();
        self.work.loaded(id, replica, report)
    }
}

const FIRST: u8 = 1;
const SECOND: u8 = 2;
const THIRD: u8 = 3;

fn numbered(number: u8) -> Replica {
    replica(([127, 0, 0, number], 8000).into())
}

#[tokio::test]
async fn what_a_server_refuses_that_is_about_to_go_decides_nothing() {
    for left in [&[][..], &[(FIRST, Readiness::Unready)]] {
        let mut stage = Stage::new();
        stage.there(&[(FIRST, Readiness::Ready)]);
        stage.change(left);
        stage.refuses(FIRST).unwrap();
        assert!(stage.found.table.borrow().is_none(), "{left:?}");
        stage.there(&[(FIRST, Readiness::Ready)]);
        stage.loads(FIRST).unwrap();
        let table = stage.found.table.borrow().clone().expect("a table");
        assert!(matches!(table.of_row(Some("org/sql")), OfRow::Sent(..)), "{left:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_about_to_go_gives_no_adapter_up() {
    for left in [&[][..], &[(SECOND, Readiness::Unready)]] {
        let mut stage = Stage::with_the_first_equipped();
        stage.there(&[(SECOND, Readiness::Ready)]);
        for _ in 1..ROUNDS {
            stage.refuses(SECOND).unwrap();
        }
        stage.change(left);
        assert_eq!(stage.refuses(SECOND), Ok(()), "{left:?}");
    }
}

#[tokio::test]
async fn adapters_are_not_given_up_before_every_server_that_is_ready_was_asked() {
    let mut stage = Stage::with_the_first_equipped();
    stage.there(&[(SECOND, Readiness::Ready), (THIRD, Readiness::Ready)]);
    for _ in 0..2 * ROUNDS {
        assert_eq!(stage.refuses(SECOND), Ok(()), "the third was not asked");
    }
    stage.refuses(THIRD).unwrap();
    assert!(matches!(stage.refuses(SECOND), Err(Stop::Restart(_))));
}

#[tokio::test]
async fn a_server_that_never_gets_ready_does_not_keep_an_adapter_waiting() {
    for unready in [FIRST, THIRD] {
        let mut stage = Stage::with_the_first_equipped();
        stage.there(&[(unready, Readiness::Unready), (SECOND, Readiness::Ready)]);
        for _ in 1..ROUNDS {
            stage.refuses(SECOND).unwrap();
        }
        assert!(matches!(stage.refuses(SECOND), Err(Stop::Restart(_))), "{unready}");
    }
}

#[tokio::test]
async fn a_server_that_misses_a_probe_keeps_its_adapters() {
    let mut stage = Stage::with_the_first_equipped();
    for _ in 0..2 {
        for readiness in [Readiness::Ready, Readiness::Unready] {
            stage.there(&[(FIRST, readiness), (SECOND, Readiness::Ready)]);
            for _ in 1..ROUNDS {
                assert_eq!(stage.refuses(SECOND), Ok(()), "{readiness:?}");
            }
        }
    }
}

#[test]
fn nobody_else_is_left_when_all_that_are_ready_refuse() {
    use Readiness::{Ready, Unready};
    for (there, refusing, is_left) in [
        (&[][..], &[][..], true),
        (&[(FIRST, Unready)], &[FIRST], true),
        (&[(FIRST, Ready)], &[FIRST], false),
        (&[(FIRST, Ready), (SECOND, Ready)], &[FIRST], true),
        (&[(FIRST, Ready), (SECOND, Ready)], &[FIRST, SECOND], false),
        (&[(FIRST, Ready), (SECOND, Unready)], &[FIRST], false),
        (&[(FIRST, Unready), (SECOND, Ready)], &[FIRST], true),
    ] {
        let replicas = there.iter().map(|(number, readiness)| (numbered(*number), *readiness));
        let refusing: Refusing = refusing.iter().map(|number| (numbered(*number), 1)).collect();
        let found = is_nobody_else_left(&replicas.collect(), &refusing);
        assert_eq!(found, !is_left, "{there:?} {refusing:?}");
    }
}
