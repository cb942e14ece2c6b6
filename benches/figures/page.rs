//! The page: `docs/benchmarks.json` has the figures, and the part of `docs/benchmarks.md` between two marks is made from it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::figure::{Detail, Figure, Goal};
use super::machine::Machine;
use super::sample::number;

/// The order of the page. A figure that is not in it comes last.
const ORDER: &[&str] = &[
    "rows-20ms",
    "rows-0ms",
    "processor-time",
    "memory-50k",
    "memory-1m",
    "memory-10m",
    "memory-1mib-rows",
    "memory-16mib-rows",
    "memory-1mib-answers",
    "inspection",
    "finalise",
    "finalise-small-segments",
    "restart-1m-kept",
    "restart-1m-lost",
    "restart-10m-kept",
    "restart-10m-lost",
    "kill",
    "engine-with-queue-metric",
    "engine-without-queue-metric",
    "llama-server",
    "controller-through",
    "controller-writes",
    "controller-idle-writes",
    "controller-memory",
    "controller-reconcile",
    "controller-restart",
];
const BEGIN: &str = "<!-- begin: made by `make bench` from docs/benchmarks.json -->\n";
const END: &str = "<!-- end -->\n";
/// Where more cores than this are busy before a run, the run is not worth much.
const QUIET: f64 = 0.5;

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    machine: Machine,
    figures: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    measured_at: String,
    /// Cores that were busy just before the run.
    load_before: f64,
    figure: Figure,
}

/// Puts figures in the place of their like. Those of another binary, or of the same processor with other software, are dropped.
pub fn add(figures: Vec<Figure>, load_before: f64) {
    let machine = Machine::look();
    let mut pages = read();
    pages.retain(|page| page.machine == machine || !page.machine.is_replaced_by(&machine));
    let mut page = match pages.iter().position(|page| page.machine == machine) {
        Some(place) => pages.remove(place),
        None => Page {
            machine,
            figures: BTreeMap::new(),
        },
    };
    for figure in figures {
        let entry = Entry {
            measured_at: Timestamp::now().strftime("%Y-%m-%d").to_string(),
            load_before,
            figure,
        };
        page.figures.insert(entry.figure.id.clone(), entry);
    }
    pages.insert(0, page);
    let json = serde_json::to_string_pretty(&pages).unwrap();
    std::fs::write(file("benchmarks.json"), json + "\n").unwrap();
    let parts: Vec<_> = pages.iter().map(Page::to_markdown).collect();
    replace_part(&file("benchmarks.md"), &parts.join("\n"));
}

fn read() -> Vec<Page> {
    let json = std::fs::read(file("benchmarks.json")).unwrap();
    serde_json::from_slice(&json).expect("docs/benchmarks.json is a list of machines and their figures")
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

fn replace_part(path: &Path, part: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    let begin = text.find(BEGIN).expect("the page has the mark of the begin") + BEGIN.len();
    let end = text.find(END).expect("the page has the mark of the end");
    std::fs::write(path, format!("{}\n{part}\n{}", &text[..begin], &text[end..])).unwrap();
}

impl Page {
    fn to_markdown(&self) -> String {
        let mut entries: Vec<_> = self.figures.values().collect();
        entries.sort_by_key(|entry| {
            ORDER
                .iter()
                .position(|id| *id == entry.figure.id)
                .unwrap_or(ORDER.len())
        });
        let mut text = self.machine.to_markdown();
        text += "\n| figure | goal | measured | runs | reached | from |\n| --- | --- | --- | --- | --- | --- |\n";
        for entry in &entries {
            text += &row(&entry.figure);
            text.push('\n');
        }
        let busy = entries.iter().filter(|entry| entry.load_before > QUIET);
        let busy: Vec<_> = busy
            .map(|entry| format!("{} ({})", entry.figure.id, number(entry.load_before)))
            .collect();
        if !busy.is_empty() {
            let _ = write!(
                text,
                "\n**Provisional**: other work was running on the machine when these were measured (in parentheses, cores that were \
                 busy just before): {}.\n",
                busy.join(", ")
            );
        }
        text
    }
}

impl Machine {
    fn is_replaced_by(&self, other: &Self) -> bool {
        self.processor == other.processor || self.operator != other.operator
    }

    fn to_markdown(&self) -> String {
        format!(
            "### {}\n\nWith {} cores and {} GiB, Linux {}. Built by rustc {}, profile `{}`. wrk {}, SeaweedFS {}, \
             batch-inference-operator {}.\n",
            self.processor,
            self.cores,
            self.memory_gib,
            self.kernel,
            self.rustc,
            self.profile,
            self.wrk,
            self.seaweedfs,
            self.operator
        )
    }
}

/// A figure as a row of the table.
pub fn row(figure: &Figure) -> String {
    let unit = |text: String| {
        if figure.unit.is_empty() {
            text
        } else {
            format!("{text} {}", figure.unit)
        }
    };
    let goal = match figure.goal {
        Goal::AtLeast(least) => format!("at least {}", number(least)),
        Goal::AtMost(most) => format!("at most {}", number(most)),
    };
    let reached = if figure.goal.is_reached(figure.measured.median()) {
        "yes"
    } else {
        "**no**"
    };
    let details = figure
        .details
        .iter()
        .map(|Detail { what, measured }| format!("{what}: {measured}"));
    let details: Vec<_> = details.collect();
    let (goal, measured) = (unit(goal), unit(figure.measured.to_string()));
    format!(
        "| {} | {goal} | {measured} | {} | {reached} | {} |",
        figure.what,
        figure.measured.count(),
        details.join("; ")
    )
}
