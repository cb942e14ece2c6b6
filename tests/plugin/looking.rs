//! `get` and `list`.

use serde_json::{Value, json};

use crate::api_server::{ApiServer, OTHER_NAMESPACE, uid};
use crate::plugin::Machine;

fn running() -> Value {
    json!({
        "phase": "Running",
        "progress": {"total": 1000, "completed": 447, "failed": 3, "percent": 45},
        "resolved": {"model": "Qwen/Qwen3-8B"},
    })
}

fn spec() -> Value {
    json!({"server": {"baseModel": "qwen3-8b"}})
}

async fn two_jobs() -> (ApiServer, Machine) {
    let server = ApiServer::start().await;
    server.put("triangles", spec(), running());
    server.put_in(OTHER_NAMESPACE, "squares", spec(), json!({}));
    let machine = Machine::of(&server);
    (server, machine)
}

#[tokio::test]
async fn a_job_is_shown_by_name_and_by_uid() {
    let (_server, machine) = two_jobs().await;
    let printed = machine.run("get triangles -o name").await.stdout;
    for called in ["triangles", &uid("triangles"), "bij/triangles", printed.trim_end()] {
        let words = format!("get {called}");
        let ended = machine.run(&words).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words}");
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert!(lines[0].starts_with("NAME        STATUS    DONE"), "{}", ended.stdout);
        assert!(lines[1].starts_with("triangles   Running   447"), "{}", ended.stdout);
        assert_eq!(lines.len(), 2);
    }
}

#[tokio::test]
async fn a_job_is_shown_in_every_form() {
    let (_server, machine) = two_jobs().await;
    let name = machine.run("get triangles -o name").await;
    assert_eq!(name.stdout, "batchinferencejob.batchinference.dev/triangles\n");
    let wide = machine.run("get triangles -o wide").await;
    assert!(wide.stdout.contains("Qwen/Qwen3-8B"), "{}", wide.stdout);
    let json = machine.run("get triangles -o json").await;
    let job: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&job["kind"], &job["status"]),
        (&json!("BatchInferenceJob"), &running())
    );
    assert_eq!(job["metadata"]["managedFields"], Value::Null);
    let yaml = machine.run("get triangles -o yaml").await;
    assert_eq!(serde_yaml::from_str::<Value>(&yaml.stdout).unwrap(), job);
}

#[tokio::test]
async fn jobs_are_listed_of_one_namespace_and_of_all() {
    let (_server, machine) = two_jobs().await;
    let names = |text: &str| {
        text.lines()
            .skip(1)
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let own = machine.run("list").await;
    assert_eq!(names(&own.stdout), ["triangles"]);
    let other = machine.run("list -n other").await;
    assert_eq!(names(&other.stdout), ["squares"]);
    let unnamed = machine.command("list").args(["-n", ""]).output().await.unwrap();
    assert_eq!(String::from_utf8(unnamed.stdout).unwrap(), own.stdout);
    let all = machine.run("list -A -n nowhere").await;
    assert!(all.stdout.starts_with("NAMESPACE   NAME"), "{}", all.stdout);
    assert_eq!(names(&all.stdout), ["other", "team"]);
    let json = machine.run("list -A -o json").await;
    let list: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&list["kind"], list["items"].as_array().unwrap().len()),
        (&json!("List"), 2)
    );
}

#[tokio::test]
async fn no_jobs_are_told_on_standard_error() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server);
    let none = machine.run("list").await;
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
    assert!(none.stderr.contains("no jobs in namespace `team`"), "{}", none.stderr);
    let picked = machine.run("list -l team=ours").await;
    assert!(
        picked.stderr.contains("no jobs with these labels in namespace `team`"),
        "{}",
        picked.stderr
    );
    let names = machine.run("list -o name").await;
    assert_eq!((names.code, names.stdout.as_str(), names.stderr.as_str()), (0, "", ""));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let server = ApiServer::start().await;
    for number in 0..3000 {
        server.put(&format!("job-{number}"), spec(), running());
    }
    let machine = Machine::of(&server);
    let mut process = machine.start("list -o yaml");
    // Nothing of it is read, and it does not fit into a pipe.
    drop(process.stdout.take());
    let ended = crate::plugin::ended(process).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (141, ""));
}

#[tokio::test]
async fn nobody_to_be_told_is_no_error() {
    let server = ApiServer::start().await;
    let machine = Machine::of(&server);
    let mut process = machine.start("list");
    drop(process.stderr.take());
    let ended = crate::plugin::ended(process).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
}

#[tokio::test]
async fn the_cluster_is_that_of_the_flags_and_an_empty_flag_is_none() {
    let (_server, machine) = two_jobs().await;
    let elsewhere = ApiServer::start().await;
    elsewhere.put("circles", spec(), running());
    let other = elsewhere
        .kubeconfig()
        .replace("\"current-context\":\"test\"", "\"current-context\":\"\"");
    machine.write("other", other);
    for (flags, expected) in [
        ("--kubeconfig other --context test", "circles"),
        ("--context test", "triangles"),
        ("--context= --kubeconfig= --namespace=", "triangles"),
    ] {
        let ended = machine.run(&format!("list -o name {flags}")).await;
        assert_eq!(ended.code, 0, "{flags}: {}", ended.stderr);
        assert!(ended.stdout.contains(expected), "{flags}: {}", ended.stdout);
    }
}
