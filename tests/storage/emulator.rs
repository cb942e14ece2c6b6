//! What the emulators of clouds have in common: found by a script, killed with the test, ready after a moment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::seaweedfs::GUARD;

const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running emulator; killed and its data removed when dropped, and at the end of the process.
pub struct Emulator {
    process: Child,
    pub data: TempDir,
}

impl Emulator {
    /// Starts what `tests/cluster/NAME` prints the path of, with these variables.
    pub fn start<S: AsRef<OsStr>>(
        name: &str,
        variables: &[(&str, &str)],
        arguments: impl IntoIterator<Item = S>,
        data: TempDir,
    ) -> Self {
        let log = std::fs::File::create(data.path().join("log")).unwrap();
        let process = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(program(name))
            .args(arguments)
            .envs(variables.iter().copied())
            .env("DATA", data.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, data }
    }

    /// Waits for the first request that is answered well.
    pub async fn ready(&mut self, request: impl Fn() -> reqwest::RequestBuilder) {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let answer = request().send().await;
            if answer.as_ref().is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            let log = std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the emulator is not ready ({ended:?}, {answer:?}): {log}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

fn program(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster").join(name);
    let output = Command::new(&script).stderr(Stdio::inherit()).output().unwrap();
    let path = String::from_utf8(output.stdout).unwrap();
    let path = PathBuf::from(path.trim());
    assert!(
        path.is_file(),
        "`{}` must print the path of a program",
        script.display()
    );
    path
}
