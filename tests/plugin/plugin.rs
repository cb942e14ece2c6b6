//! The plugin as a process.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::api_server::ApiServer;

/// How it ended, and what it said.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A person's machine: a folder with a kubeconfig, and an environment.
pub struct Machine {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Machine {
    /// One that has a kubeconfig with this content.
    pub fn new(kubeconfig: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        Self {
            folder,
            environment: Vec::new(),
        }
    }

    /// One whose cluster this is.
    pub fn of(server: &ApiServer) -> Self {
        Self::new(&server.kubeconfig())
    }

    /// The same with more in the environment.
    pub fn with(mut self, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(environment);
        self
    }

    /// A file or folder of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The plugin with these words, split at spaces; it runs in the folder.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(words.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .env("KUBECONFIG", self.path("kubeconfig"))
            .envs(self.environment.clone())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end, in pipes.
    pub async fn run(&self, words: &str) -> Ended {
        ended(self.start(words)).await
    }

    /// Starts it, in pipes.
    pub fn start(&self, words: &str) -> Child {
        self.command(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// As Ctrl-C does.
pub fn interrupt(process: &Child) {
    send(process, Signal::INT);
}

/// Sends a signal to a process that runs.
pub fn send(process: &Child, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(process.id().unwrap()).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// Waits for the end.
pub async fn ended(process: Child) -> Ended {
    let output = process.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code().expect("an end by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Whether this process ignores SIGHUP, and then those that it starts (`proc_pid_status(5)`: the lowest bit of the mask).
pub fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut masks = status.lines().filter_map(|line| line.strip_prefix("SigIgn:"));
    masks.any(|mask| mask.ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']))
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_kubectl-bij"))
}
