//! What a process costs, read from `/proc` while it runs and once more between its end and `wait`.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use tokio::time::sleep;

const PAUSE: Duration = Duration::from_millis(20);
/// The unit of times in `/proc/PID/stat` is a hundredth of a second on every architecture that Kubernetes runs on (proc(5)).
const TICKS_PER_SECOND: u64 = 100;

/// A running process. Killed when dropped.
pub struct Measured {
    child: Child,
    started: Instant,
    last: Look,
    stages: BTreeMap<String, Cost>,
}

/// What it has used so far.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    at: Duration,
    user: Duration,
    system: Duration,
    peak_bytes: u64,
    has_ended: bool,
}

/// What a process used, or one stage of its work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    pub user: Duration,
    pub system: Duration,
    /// The most memory that it had until then.
    pub peak_bytes: u64,
}

/// What a process used from its start to its end.
#[derive(Clone, Debug)]
pub struct Usage {
    pub total: Cost,
    pub stages: BTreeMap<String, Cost>,
    /// `None` when a signal has ended it.
    pub exit_code: Option<i32>,
}

impl Cost {
    pub fn processor(&self) -> Duration {
        self.user + self.system
    }

    pub fn peak_mebibytes(&self) -> f64 {
        self.peak_bytes as f64 / f64::from(1 << 20)
    }

    fn add(&mut self, before: Look, after: Look) {
        self.wall += after.at.saturating_sub(before.at);
        self.user += after.user.saturating_sub(before.user);
        self.system += after.system.saturating_sub(before.system);
        self.peak_bytes = after.peak_bytes;
    }
}

impl Measured {
    pub fn new(child: Child) -> Self {
        Self {
            child,
            started: Instant::now(),
            last: Look::default(),
            stages: BTreeMap::new(),
        }
    }

    /// Measures until the process ends or `done` says so. What is used meanwhile goes to the stage that `stage` names.
    pub async fn until(&mut self, stage: impl Fn() -> String, mut done: impl AsyncFnMut() -> bool) {
        while !self.look(stage()) && !done().await {
            sleep(PAUSE).await;
        }
    }

    /// Measures until the end of the process.
    pub async fn finish(mut self, stage: impl Fn() -> String) -> Usage {
        self.until(stage, async || false).await;
        self.usage()
    }

    /// SIGKILL.
    pub async fn kill(mut self, stage: impl Fn() -> String) -> Usage {
        self.child.kill().unwrap();
        self.until(stage, async || false).await;
        self.usage()
    }

    pub fn has_ended(&self) -> bool {
        self.last.has_ended
    }

    fn usage(mut self) -> Usage {
        let mut total = Cost::default();
        total.add(Look::default(), self.last);
        Usage {
            total,
            stages: std::mem::take(&mut self.stages),
            exit_code: self.child.wait().unwrap().code(),
        }
    }

    /// Adds what was used since the last look to a stage. Says whether the process has ended.
    fn look(&mut self, stage: String) -> bool {
        let (before, mut after) = (self.last, read(self.child.id()));
        after.at = self.started.elapsed();
        // A process that has ended has no memory.
        after.peak_bytes = after.peak_bytes.max(before.peak_bytes);
        self.stages.entry(stage).or_default().add(before, after);
        self.last = after;
        after.has_ended
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process is there until it is waited for, which only happens above.
fn read(pid: u32) -> Look {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The program's name, in parentheses, may have spaces.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let ticks = |field: usize| Duration::from_millis(fields[field].parse::<u64>().unwrap() * 1000 / TICKS_PER_SECOND);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.map_or(0, |peak| peak.trim().trim_end_matches(" kB").parse().unwrap());
    Look {
        at: Duration::ZERO,
        user: ticks(11),
        system: ticks(12),
        peak_bytes: kibibytes << 10,
        has_ended: fields[0] == "Z",
    }
}
