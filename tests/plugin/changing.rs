//! `cancel`, `suspend`, `resume`.

use serde_json::{Value, json};

use crate::api_server::{ApiServer, uid};
use crate::plugin::Machine;

async fn world() -> (ApiServer, Machine) {
    let server = ApiServer::start().await;
    server.put(
        "triangles",
        json!({"server": {"baseModel": "m"}}),
        json!({"phase": "Running"}),
    );
    let machine = Machine::of(&server);
    (server, machine)
}

#[tokio::test]
async fn each_change_is_one_field_of_the_spec() {
    let (server, machine) = world().await;
    for (words, field, value, told) in [
        ("suspend triangles", "suspend", json!(true), "suspended"),
        ("resume triangles", "suspend", json!(false), "resumed"),
        (
            "cancel triangles",
            "shutdown",
            json!("Stop"),
            "is being cancelled; rows in flight are waited for",
        ),
        (
            "cancel triangles --now",
            "shutdown",
            json!("Terminate"),
            "is being cancelled; rows in flight are aborted",
        ),
        (
            "cancel triangles",
            "shutdown",
            json!("Terminate"),
            "is being cancelled already; rows in flight are aborted",
        ),
    ] {
        let ended = machine.run(words).await;
        let expected = format!("batchinferencejob.batchinference.dev/triangles {told}\n");
        assert_eq!(
            (ended.code, ended.stdout, ended.stderr.as_str()),
            (0, expected, ""),
            "{words}"
        );
        let spec = &server.job("triangles")["spec"];
        assert_eq!(
            (&spec[field], &spec["server"]),
            (&value, &json!({"baseModel": "m"})),
            "{words}"
        );
    }
    let patches = server.seen().into_iter().filter(|request| request.starts_with("PATCH"));
    assert_eq!(patches.count(), 4);
}

#[tokio::test]
async fn a_job_is_changed_by_its_uid_and_shown_as_it_became() {
    let (server, machine) = world().await;
    let ended = machine.run(&format!("suspend {} -o json", uid("triangles"))).await;
    let job: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(job["spec"]["suspend"], true);
    assert_eq!(server.job("triangles")["spec"]["suspend"], true);
}

#[tokio::test]
async fn a_job_that_has_ended_is_left_alone() {
    let (server, machine) = world().await;
    let conditions = json!([{"type": "Complete", "status": "True", "reason": "AllRowsSucceeded"}]);
    server.set_status("triangles", json!({"phase": "Completed", "conditions": conditions}));
    for verb in ["cancel", "suspend", "resume"] {
        let ended = machine.run(&format!("{verb} triangles")).await;
        assert_eq!(ended.code, 3);
        let expected = format!("has ended already (AllRowsSucceeded): there is nothing left to {verb}");
        assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    }
}
