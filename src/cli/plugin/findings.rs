//! What `validate` says of a data set. Pure.

use std::fmt::Write;

use crate::api::adapters::{AdapterSource, AdaptersSpec};
use crate::dataset::{Inspection, ModelNames, Refusal, UnknownField, UnknownModel};
use crate::engine::AdapterNames;

/// The names that mean the base model, and its adapters.
#[derive(Clone, Debug)]
pub enum Names {
    /// These, and an empty one: a row with another name is refused.
    Known(ModelNames),
    /// It is not known which, so that those of the rows are told, and none is refused.
    Any,
}

impl Names {
    /// Only these.
    #[must_use]
    pub fn known(names: &[String]) -> Self {
        Self::Known(ModelNames::new(names.iter().cloned()))
    }

    /// The same, and rows may name adapters besides, if there is a source of them.
    #[must_use]
    pub fn with_adapters(self, source: Option<AdapterSource>, location: Option<&str>) -> Self {
        let adapters = source.map(|source| {
            AdapterNames::new(AdaptersSpec {
                source,
                location: location.map(str::to_owned),
                ..AdaptersSpec::default()
            })
        });
        match self {
            Self::Known(models) => Self::Known(models.with_adapters(adapters)),
            Self::Any => Self::Any,
        }
    }

    /// As inspection takes them.
    #[must_use]
    pub fn models(&self) -> ModelNames {
        match self {
            Self::Known(models) => models.clone(),
            Self::Any => ModelNames::new([""; 0]),
        }
    }
}

/// Which rows a job would run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Every row.
    Every,
    /// Some, if it goes on without the others (`invalidRows: Skip`).
    Some,
    /// None: it would end before it starts.
    None,
}

/// What a check of a data set found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// What a job would do with it.
    pub runs: Runs,
    /// Every refused row as `FILE:LINE: WHY`, and what it all comes to behind them.
    pub report: String,
}

impl Findings {
    /// Of a data set that has good rows, at least.
    #[must_use]
    pub fn of(file: &str, inspection: &Inspection, names: &Names) -> Self {
        let mut findings = match &inspection.refusal {
            Some(refusal) => Self::of_refusal(file, refusal, names),
            None => Self::all_good(file, inspection.index.rows),
        };
        findings.warn_of(file, &inspection.index.unknown_fields);
        findings
    }

    /// Of one that no job could run as it is.
    #[must_use]
    pub fn of_refusal(file: &str, refusal: &Refusal, names: &Names) -> Self {
        if refusal.rows == 0 {
            return Self {
                runs: Runs::None,
                report: format!("{file}: {refusal}\n"),
            };
        }
        let mut report = String::new();
        for row in &refusal.first_invalid_rows {
            line(&mut report, format_args!("{file}:{}: {}", row.line, row.reason));
        }
        let refuses_models = matches!(names, Names::Known(_)) && refusal.unknown_model_rows > 0;
        for model in &refusal.unknown_models {
            line(
                &mut report,
                format_args!("{file}:{}: {}", model.first_line, about(model, names, refusal)),
            );
        }
        let refused = refusal.invalid_rows + if refuses_models { refusal.unknown_model_rows } else { 0 };
        line(&mut report, format_args!("{file}: {}", verdict(refused, refusal.rows)));
        let runs = match refused {
            0 => Runs::Every,
            _ if refuses_models || refusal.invalid_rows == refusal.rows => Runs::None,
            _ => Runs::Some,
        };
        Self { runs, report }
    }

    fn all_good(file: &str, rows: u64) -> Self {
        Self {
            runs: Runs::Every,
            report: format!("{file}: {}\n", verdict(0, rows)),
        }
    }

    fn warn_of(&mut self, file: &str, fields: &[UnknownField]) {
        for UnknownField { name, rows } in fields {
            let rows = counted(*rows);
            line(
                &mut self.report,
                format_args!("{file}: warning: the field `{name}` of {rows} means nothing here, and is not sent"),
            );
        }
    }
}

fn about(model: &UnknownModel, names: &Names, refusal: &Refusal) -> String {
    match names {
        Names::Known(_) => format!("nothing serves {model}; {}", refusal.model_advice()),
        Names::Any => format!("{model} has to be served by the job: give --model to check it"),
    }
}

fn verdict(refused: u64, rows: u64) -> String {
    match refused {
        0 => format!("good: {}", counted(rows)),
        refused => format!("bad: {refused} of {} cannot be run", counted(rows)),
    }
}

fn counted(rows: u64) -> String {
    match rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    }
}

fn line(report: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(report, "{text}");
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
