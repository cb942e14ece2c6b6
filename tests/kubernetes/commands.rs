//! The commands that a person would type.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What a command printed, or why it failed.
pub type Printed = Result<String, String>;

/// The checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder with the cluster's logs and volumes.
pub fn cluster_state() -> PathBuf {
    let state = std::env::var_os("BIO_CLUSTER_STATE");
    let state = state.expect("these tests need the test cluster: run `make test`, or `tests/cluster/with COMMAND`");
    state.into()
}

/// Runs a command of the checkout or of `PATH`, with an input.
pub async fn run(program: &str, arguments: &[&str], input: &str) -> Printed {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).await.expect("a command that reads");
    drop(stdin);
    let output = child.wait_with_output().await.expect("a command that ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}

/// Runs a command that must succeed.
pub async fn must(program: &str, arguments: &[&str]) -> String {
    let printed = run(program, arguments, "").await;
    printed.unwrap_or_else(|error| panic!("{program} {} failed: {error}", arguments.join(" ")))
}

/// Takes something back when a test ends, from a `drop`: it must succeed, unless the test has failed already.
pub fn take_back(program: &str, arguments: &[&str]) {
    let mut command = std::process::Command::new(program);
    let taken_back = command.args(arguments).current_dir(root()).status();
    assert!(taken_back.is_ok_and(|status| status.success()) || std::thread::panicking());
}

/// Kills the process of a container at once, as a crash or the kernel would; kubelet may start it again.
pub async fn kill_container(id: &str) {
    must("tests/cluster/ctr", &["task", "kill", "--signal", "SIGKILL", id]).await;
}

/// Stops a container's processes where they are.
pub async fn pause_container(id: &str) {
    must("tests/cluster/ctr", &["task", "pause", id]).await;
}

/// Lets the processes of a paused container go on.
pub async fn resume_container(id: &str) {
    must("tests/cluster/ctr", &["task", "resume", id]).await;
}

/// Kills a container that is paused: the signal is delivered when it goes on.
pub async fn kill_paused_container(id: &str) {
    kill_container(id).await;
    // Where the kill has thawed it already, there is nothing to resume.
    let _ = run("tests/cluster/ctr", &["task", "resume", id], "").await;
}
