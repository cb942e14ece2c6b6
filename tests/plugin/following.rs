//! `wait` and `watch`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::api_server::{ApiServer, kubeconfig};
use crate::plugin::{Machine, ended, interrupt};
use crate::terminal::Terminal;
use crate::until::until;

fn running(completed: u32) -> Value {
    json!({
        "phase": "Running",
        "progress": {"total": 100, "completed": completed, "failed": 0, "percent": completed, "rowsPerSecond": "12.5"},
        "usage": {"totalTokens": 12_345},
        "cost": {"tokenCost": "0.61", "currency": "USD"},
    })
}

fn over(kind: &str, reason: &str) -> Value {
    let mut status = running(100);
    status["phase"] = json!(if kind == "Complete" { "Completed" } else { "Failed" });
    status["conditions"] = json!([{"type": kind, "status": "True", "reason": reason, "message": "in words"}]);
    status
}

/// A job that runs, and a machine to look at it from.
async fn world() -> (ApiServer, Machine) {
    let server = ApiServer::start().await;
    server.put("triangles", json!({}), running(10));
    let machine = Machine::of(&server);
    (server, machine)
}

/// Waits until somebody watches.
async fn watched(server: &ApiServer) {
    until("somebody watches", async || {
        server.seen().iter().any(|request| request.contains("watch=true"))
    })
    .await;
}

#[tokio::test]
async fn a_wait_ends_with_the_job() {
    for (kind, reason, code, word) in [
        ("Complete", "AllRowsSucceeded", 0, "completed"),
        ("Failed", "BudgetExceeded", 1, "failed"),
    ] {
        let (server, machine) = world().await;
        let process = machine.start("wait triangles --timeout 1m");
        watched(&server).await;
        server.set_status("triangles", running(50));
        server.set_status("triangles", over(kind, reason));
        let ended = ended(process).await;
        let expected = format!("batchinferencejob.batchinference.dev/triangles {word}: {reason}: in words\n");
        assert_eq!((ended.code, ended.stdout, ended.stderr.as_str()), (code, expected, ""));
    }
}

#[tokio::test]
async fn a_wait_whose_time_is_over_says_how_far_the_job_is() {
    let (_server, machine) = world().await;
    for timeout in ["0", "5s"] {
        let ended = machine.run(&format!("wait triangles --timeout {timeout}")).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
        assert!(
            ended.stderr.contains("has not ended in time: Running, 10 of 100 rows"),
            "{}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn a_wait_ends_in_time_also_when_nobody_answers() {
    // Connections are taken by the system, and nobody reads them.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let machine = Machine::new(&kubeconfig(&format!("http://{address}")));
    let ended = machine.run("wait triangles --timeout 1s").await;
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    let expected = "`triangles` could not be looked at in time: the API server does not answer";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[tokio::test]
async fn a_job_that_has_ended_is_not_waited_for() {
    let (server, machine) = world().await;
    server.set_status("triangles", over("Failed", "DatasetInvalid"));
    for words in ["wait triangles --timeout 0", "watch triangles"] {
        assert_eq!(machine.run(words).await.code, 1, "{words}");
    }
    assert!(!server.seen().iter().any(|request| request.contains("watch=true")));
}

#[tokio::test]
async fn a_job_that_is_deleted_ends_the_wait() {
    let (server, machine) = world().await;
    let process = machine.start("wait triangles");
    watched(&server).await;
    server.delete("triangles");
    let ended = ended(process).await;
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("job `triangles` was deleted"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_job_that_was_made_anew_is_another_one() {
    let (server, machine) = world().await;
    let process = machine.start("wait triangles");
    watched(&server).await;
    // Only the new one is seen: the watch that would see the end of the old one is over.
    server.expire_watches();
    server.delete("triangles");
    server.put("triangles", json!({}), over("Complete", "AllRowsSucceeded"));
    let ended = ended(process).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (3, ""));
    assert!(ended.stderr.contains("job `triangles` was deleted"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_watch_that_ends_or_expires_is_begun_again_without_a_word() {
    let (server, machine) = world().await;
    let process = machine.start("wait triangles");
    watched(&server).await;
    server.end_watches();
    until("it is watched again", async || server.watches() >= 2).await;
    server.expire_watches();
    // It is told that what it wants is forgotten, lists, and watches from there.
    until("it is watched once more", async || server.watches() >= 4).await;
    server.set_status("triangles", over("Complete", "AllRowsSucceeded"));
    let ended = ended(process).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn an_api_server_that_goes_away_is_told_and_asked_again() {
    let (server, machine) = world().await;
    let mut process = machine.start("watch triangles");
    watched(&server).await;
    let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
    server.go_away(Duration::from_secs(1));
    let told = stderr.next_line().await.unwrap().unwrap();
    assert!(told.starts_with("the API server does not answer ("), "{told}");
    assert!(told.ends_with("); it is asked again"), "{told}");
    server.set_status("triangles", over("Complete", "AllRowsSucceeded"));
    let ended = ended(process).await;
    assert_eq!(ended.code, 0);
    assert!(!ended.stdout.contains("does not answer"), "{}", ended.stdout);
}

#[tokio::test]
async fn in_a_pipe_a_watch_tells_what_is_new_line_by_line() {
    let (server, machine) = world().await;
    let process = machine.start("watch triangles");
    watched(&server).await;
    server.set_status("triangles", over("Complete", "AllRowsSucceeded"));
    let ended = ended(process).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(
        ended.stdout,
        "Running\n\
         Running: 10 of 100 rows (10%), 12.5 rows/s, 12.3k tokens, 0.61 USD\n\
         Completed: 100 of 100 rows (100%), 12.5 rows/s, 12.3k tokens, 0.61 USD\n\
         batchinferencejob.batchinference.dev/triangles completed: AllRowsSucceeded: in words\n"
    );
}

#[tokio::test]
async fn in_a_terminal_a_watch_draws_a_bar() {
    let (server, machine) = world().await;
    let mut terminal = Terminal::new(80);
    let mut process = terminal.start(&mut machine.command("watch triangles"));
    let drawn = terminal.read_until("0.61 USD").await;
    assert!(drawn.starts_with("Running\r\n██░"), "{drawn:?}");
    let beside = "░  10%  10/100  12.5 rows/s  12.3k tokens  0.61 USD";
    assert!(drawn.contains(beside), "{drawn:?}");
    watched(&server).await;
    server.set_status("triangles", running(50));
    terminal.read_until("50%").await;
    server.set_status("triangles", over("Failed", "BudgetExceeded"));
    let end = terminal.read_until("in words").await;
    assert!(end.contains("\r\x1b[KFailed: 100 of 100 rows"), "{end:?}");
    assert_eq!(process.wait().await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn what_ends_a_watch_begins_a_line_below_the_bar() {
    let (server, machine) = world().await;
    let mut terminal = Terminal::new(80);
    let mut process = terminal.start(&mut machine.command("watch triangles"));
    terminal.read_until("0.61 USD").await;
    watched(&server).await;
    server.delete("triangles");
    let end = terminal.read_until("in its output").await;
    assert!(end.contains("\r\nerror: job `triangles` was deleted"), "{end:?}");
    assert_eq!(process.wait().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn a_watch_that_is_interrupted_leaves_the_bar() {
    let (_server, machine) = world().await;
    let mut terminal = Terminal::new(80);
    let mut process = terminal.start(&mut machine.command("watch triangles"));
    terminal.read_until("0.61 USD").await;
    interrupt(&process);
    terminal.read_until("\r\n").await;
    assert_eq!(process.wait().await.unwrap().code(), Some(130));
}

#[tokio::test]
async fn a_terminal_that_cannot_draw_gets_lines() {
    let (server, machine) = world().await;
    let machine = machine.with([("TERM".to_owned(), "dumb".to_owned())]);
    let mut terminal = Terminal::new(80);
    let mut process = terminal.start(&mut machine.command("watch triangles"));
    terminal.read_until("10 of 100 rows").await;
    server.set_status("triangles", over("Complete", "AllRowsSucceeded"));
    let end = terminal.read_until("in words").await;
    assert!(!end.contains('\x1b'), "{end:?}");
    assert!(process.wait().await.unwrap().success());
}
