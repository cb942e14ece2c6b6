//! A feeder's process.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::until::PATIENCE;

/// A running feeder. Killed when dropped; its log is shown when the test fails.
pub struct FeederProcess {
    process: Child,
    log: PathBuf,
}

impl FeederProcess {
    /// Starts it with nothing in its environment but what is given.
    pub fn start<A: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (String, String)>,
        log: &Path,
    ) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_batch-inference-operator"))
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            process,
            log: log.to_owned(),
        }
    }

    /// Waits for its end, and gives its exit code.
    pub async fn exit_code(mut self) -> i32 {
        let status = timeout(PATIENCE, self.process.wait()).await;
        let status = status.expect("the feeder ends in time").unwrap();
        status.code().expect("the feeder ends by itself")
    }

    /// SIGKILL: the process does not notice. Returns when it is gone.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// SIGTERM, and the exit code that comes of it.
    pub async fn terminate(self) -> i32 {
        let id = self.process.id().expect("the feeder runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(sent.success());
        self.exit_code().await
    }
}

impl Drop for FeederProcess {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("the feeder's log:\n{log}");
        }
    }
}
