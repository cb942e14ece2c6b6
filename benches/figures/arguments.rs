//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures figures, and writes them to docs/benchmarks.json and docs/benchmarks.md.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// What to measure. Default: all that take a few minutes.
    pub groups: Vec<Group>,
    /// How often each figure is measured, where it is measured more than once.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Rows of the runs whose rows per second are measured.
    #[arg(long, default_value_t = 100_000)]
    pub rows: u64,
    /// Seconds of each run of wrk.
    #[arg(long, default_value_t = 3)]
    pub wrk_seconds: u32,
    /// Divides the rows of every run, to see whether everything works. What it measures is worth nothing.
    #[arg(long, default_value_t = 1, requires = "dry_run")]
    pub shrink: u64,
    /// Only print what was measured.
    #[arg(long)]
    pub dry_run: bool,
    /// Measure nothing, and add the figures that a command of the shell prints.
    #[arg(long, value_name = "COMMAND")]
    pub from: Option<String>,
    /// For ourselves: inspect a data set, and end.
    #[arg(long, hide = true)]
    pub inspect: Option<PathBuf>,
    /// Cargo passes it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Figures that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Rows per second against wrk, with a server that answers after 20 ms and one that answers at once.
    Rows,
    /// Peak memory at 50,000 rows.
    Memory,
    /// Peak memory with rows and answers of 1 MiB and more.
    LargeRows,
    /// The inspection of a data set.
    Inspection,
    /// Results from segments.
    Finalise,
    /// Work that is repeated after SIGKILL.
    Kill,
    /// A million rows: peak memory, and how soon a restart goes on.
    Million,
    /// The same with ten million rows. Takes half an hour and 50 GB of disk.
    TenMillion,
    /// A real model on llama-server against fixed concurrencies. Takes some 20 minutes.
    Llama,
}

impl Arguments {
    /// The groups to measure.
    pub fn groups(&self) -> &[Group] {
        const DEFAULT: &[Group] = &[
            Group::Rows,
            Group::Memory,
            Group::LargeRows,
            Group::Inspection,
            Group::Finalise,
            Group::Kill,
            Group::Million,
        ];
        if self.groups.is_empty() { DEFAULT } else { &self.groups }
    }
}
