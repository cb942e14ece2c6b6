//! A feeder's process.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::image;
use crate::until::PATIENCE;

/// Between two looks at the memory of a process.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The feeder's program, as what stands before its arguments.
pub fn program() -> Vec<OsString> {
    vec![env!("CARGO_BIN_EXE_batch-inference-operator").into()]
}

/// The same where the container's memory limit is so many bytes: the process has mounts of its own, in which its control group says
/// so. `unshare` and the shell become the program, so the process stays the same.
pub fn program_within(memory: u64) -> Vec<OsString> {
    let script =
        format!("mount -t tmpfs tmpfs /sys/fs/cgroup && echo {memory} >/sys/fs/cgroup/memory.max && exec \"$@\"");
    let before = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(OsString::from);
    before.into_iter().chain(program()).collect()
}

/// The same where so many files may be open.
pub fn program_with_open_files(most: u32) -> Vec<OsString> {
    let script = format!("ulimit -n {most} && exec \"$@\"");
    let before = ["sh", "-c", &script, "sh"].map(OsString::from);
    before.into_iter().chain(program()).collect()
}

/// A running feeder. Killed when dropped; its log is shown when the test fails.
pub struct FeederProcess {
    process: Child,
    log: PathBuf,
}

impl FeederProcess {
    /// Starts it with nothing in its environment but what the image gives it and what is given.
    pub fn start<A: AsRef<OsStr>>(
        program: &[OsString],
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (String, String)>,
        log: &Path,
    ) -> Self {
        let process = Command::new(&program[0])
            .args(&program[1..])
            .args(arguments)
            .env_clear()
            .envs(image::environment())
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

    /// The most memory that it has had, by `/proc`.
    pub fn peak_mebibytes(&self) -> u64 {
        self.peak_if_it_runs().expect("the feeder runs")
    }

    /// `None` once it has ended.
    fn peak_if_it_runs(&self) -> Option<u64> {
        let id = self.process.id()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes = peak.trim().strip_suffix(" kB").expect("VmHWM in kB");
        Some(kibibytes.parse::<u64>().unwrap() / 1024)
    }

    /// It stands still, as on a node that is lost for a while.
    pub async fn pause(&self) {
        self.signal("STOP").await;
    }

    /// It goes on, and does not notice.
    pub async fn resume(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, name: &str) {
        let id = self.process.id().expect("the feeder runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, and gives its exit code.
    pub async fn exit_code(self) -> i32 {
        self.exit_code_within(PATIENCE).await
    }

    /// The same for one that may take long.
    pub async fn exit_code_within(mut self, patience: Duration) -> i32 {
        let status = timeout(patience, self.process.wait()).await;
        let status = status.expect("the feeder ends in time").unwrap();
        status.code().expect("the feeder ends by itself")
    }

    /// The same, with the most memory that it was seen to have had, in MiB.
    pub async fn exit_code_and_peak_within(self, patience: Duration) -> (i32, u64) {
        let ends_by = Instant::now() + patience;
        let mut peak = 0;
        while let Some(now) = self.peak_if_it_runs()
            && Instant::now() < ends_by
        {
            peak = now;
            sleep(LOOK_EVERY).await;
        }
        let code = self.exit_code_within(ends_by.duration_since(Instant::now())).await;
        (code, peak)
    }

    /// Returns when it has ended by itself.
    pub async fn until_ended(&mut self, patience: Duration) {
        let ended = timeout(patience, self.process.wait()).await;
        ended.expect("the feeder ends in time").unwrap();
    }

    /// SIGKILL: the process does not notice. Returns when it is gone, with its exit code if it had ended before.
    pub async fn kill(mut self) -> Option<i32> {
        // Refused when it has ended, and has been waited for.
        let _ = self.process.start_kill();
        self.process.wait().await.unwrap().code()
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
