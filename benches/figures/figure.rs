//! A figure of the page.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::sample::Sample;

/// What was measured, and what it should be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    /// Names it in the file, and orders the page.
    pub id: String,
    pub what: String,
    /// Of the goal and of what was measured; empty for a ratio.
    pub unit: String,
    pub goal: Goal,
    pub measured: Sample,
    /// What it was calculated from, and what else the same runs have shown.
    #[serde(default)]
    pub details: Vec<Detail>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detail {
    pub what: String,
    pub measured: Sample,
}

impl Goal {
    pub fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

/// The figures among the lines that a program prints (`benches/README.md`); the other lines are printed again.
pub fn read_lines(lines: impl BufRead) -> Vec<Figure> {
    let mut figures = Vec::new();
    for line in lines.lines() {
        let line = line.unwrap();
        if line.starts_with('{') {
            figures.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("not a figure: {error}: {line}")));
        } else {
            println!("{line}");
        }
    }
    figures
}

impl Figure {
    pub fn new(id: &str, what: &str, unit: &str, goal: Goal, measured: Sample) -> Self {
        Self {
            id: id.to_owned(),
            what: what.to_owned(),
            unit: unit.to_owned(),
            goal,
            measured,
            details: Vec::new(),
        }
    }

    pub fn with(mut self, what: &str, measured: Sample) -> Self {
        self.details.push(Detail {
            what: what.to_owned(),
            measured,
        });
        self
    }
}
