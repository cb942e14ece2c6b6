//! What everything was measured on and with.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long [`load`] looks.
const LOOKED_FOR: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
    pub rustc: String,
    pub wrk: String,
    pub seaweedfs: String,
    pub operator: String,
    /// The optimisation of the binary: the profile of Cargo.toml.
    pub profile: String,
}

impl Machine {
    /// This one.
    pub fn look() -> Self {
        let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':')
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let memory = after(&file("/proc/meminfo"), "MemTotal");
        let kibibytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            processor: after(&file("/proc/cpuinfo"), "model name"),
            cores: cores(),
            memory_gib: kibibytes.div_ceil(1 << 20),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: says("rustc", &["--version"], 1),
            wrk: says("wrk", &["-v"], 1),
            seaweedfs: says(&super::seaweedfs::weed().display().to_string(), &["version"], 2),
            operator: env!("CARGO_PKG_VERSION").to_owned(),
            profile: profile(),
        }
    }
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many cores are busy before anything is measured: what others take is missing to what is.
pub fn load() -> f64 {
    let (busy, all) = ticks();
    std::thread::sleep(LOOKED_FOR);
    let (busy_then, all_then) = ticks();
    let share = (busy_then - busy) as f64 / (all_then - all).max(1) as f64;
    share * cores() as f64
}

/// What the cores have done since the machine was started: busy, and all together
/// (<https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat>).
fn ticks() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let of_all_cores = text.lines().next().unwrap();
    // user, nice, system, idle, iowait, irq, softirq, steal; what guests take is in user.
    let ticks: Vec<u64> = of_all_cores
        .split_whitespace()
        .skip(1)
        .take(8)
        .map(|ticks| ticks.parse().unwrap())
        .collect();
    let all = ticks.iter().sum();
    (all - ticks[3] - ticks[4], all)
}

/// The binary that is measured.
pub fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_batch-inference-operator").into()
}

/// The folder that cargo has put the binary in is named after its profile.
fn profile() -> String {
    let folder = binary()
        .parent()
        .and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()));
    match folder.as_deref() {
        Some("debug") => "dev".to_owned(),
        other => other.unwrap_or_default().to_owned(),
    }
}

/// A word of the first line that a program prints about itself.
fn says(program: &str, arguments: &[&str], word: usize) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; `benches/install` installs what is missing"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(word).unwrap_or_default().to_owned()
}
