//! The process that plays it in a cluster.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::PATIENCE;

/// Where cargo puts the process; `cargo test` builds it with the tests.
fn process(args: &[&str]) -> Command {
    let this = std::env::current_exe().expect("a path");
    let program: PathBuf = this
        .ancestors()
        .nth(2)
        .expect("deps is in the profile's folder")
        .join("examples/fake-model-server");
    assert!(program.exists(), "run first: cargo build --example fake-model-server");
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn the_process_refuses_what_the_real_server_refuses() {
    let output = process(&["-m", "x", "--nonsense"]).output().await.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stderr, b"error: invalid argument: --nonsense\n");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert_eq!(printed, "arguments: [\"-m\", \"x\", \"--nonsense\"]\n");
}

#[tokio::test]
async fn the_process_ends_with_zero_when_it_is_told_to() {
    let mut child = process(&["org/model", "--host", "127.0.0.1", "--port", "0"])
        .spawn()
        .expect("it runs");
    let stdout = child.stdout.take().expect("piped");
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.expect("text") {
        if line.starts_with("plays Vllm on") {
            break;
        }
    }
    terminate(&child).await;
    let status = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .expect("it ends")
        .expect("a status");
    assert_eq!(status.code(), Some(0));
}

async fn terminate(child: &Child) {
    let id = child.id().expect("it runs").to_string();
    let killed = Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .await
        .expect("kill runs");
    assert!(killed.success());
}
