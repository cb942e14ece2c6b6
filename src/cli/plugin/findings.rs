//! What `validate` says of a data set. Pure, but for the stream that it is written to.

use std::io::{self, Write};

use crate::api::adapters::AdaptersSpec;
use crate::dataset::{Inspection, ModelNames, Refusal, UnknownField, UnknownModel};
use crate::engine::AdapterNames;

/// The names that mean the base model, and its adapters.
#[derive(Clone, Debug)]
pub enum Names {
    /// These, and an empty one: a row with another name is refused.
    Known(ModelNames),
    /// These by the catalog of this program. The operator's may have another repository for a short name, so that a row with another name is
    /// told, and none is refused.
    ByCatalog(ModelNames),
    /// It is not known which, so that those of the rows are told, and none is refused.
    Any,
}

impl Names {
    /// Only these.
    #[must_use]
    pub fn known(names: &[String]) -> Self {
        Self::Known(ModelNames::new(names.iter().cloned()))
    }

    /// The same, and rows may name adapters besides, if the job has any.
    #[must_use]
    pub fn with_adapters(self, adapters: Option<AdaptersSpec>) -> Self {
        match self {
            Self::Known(models) => Self::Known(models.with_adapters(adapters.map(AdapterNames::new))),
            Self::ByCatalog(models) => Self::ByCatalog(models.with_adapters(adapters.map(AdapterNames::new))),
            Self::Any => Self::Any,
        }
    }

    /// The same, of a short name.
    #[must_use]
    pub fn by_catalog(self) -> Self {
        match self {
            Self::Known(models) | Self::ByCatalog(models) => Self::ByCatalog(models),
            Self::Any => Self::Any,
        }
    }

    /// As inspection takes them.
    #[must_use]
    pub fn models(&self) -> ModelNames {
        match self {
            Self::Known(models) | Self::ByCatalog(models) => models.clone(),
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
#[derive(Clone, Debug)]
pub struct Findings {
    /// As a person calls it.
    file: String,
    /// Whether a name that nothing serves is refused.
    names: Names,
    /// Good and bad.
    rows: u64,
    refusal: Option<Box<Refusal>>,
    unknown_fields: Vec<UnknownField>,
}

impl Findings {
    /// Of a data set that has good rows, at least.
    #[must_use]
    pub fn of(file: &str, inspection: Inspection, names: &Names) -> Self {
        Self {
            file: file.to_owned(),
            names: names.clone(),
            rows: inspection.index.rows,
            refusal: inspection.refusal,
            unknown_fields: inspection.index.unknown_fields,
        }
    }

    /// Of one that no job could run as it is.
    #[must_use]
    pub fn of_refusal(file: &str, refusal: Box<Refusal>, names: &Names) -> Self {
        Self {
            file: file.to_owned(),
            names: names.clone(),
            rows: refusal.rows,
            refusal: Some(refusal),
            unknown_fields: Vec::new(),
        }
    }

    /// What a job would do with it.
    #[must_use]
    pub fn runs(&self) -> Runs {
        match &self.refusal {
            _ if self.rows == 0 => Runs::None,
            Some(refusal) if self.refuses_models() || refusal.invalid_rows == self.rows => Runs::None,
            Some(refusal) if refusal.invalid_rows > 0 => Runs::Some,
            _ => Runs::Every,
        }
    }

    /// Writes every refused row as `FILE:LINE: WHY`, and behind them what it all comes to.
    ///
    /// # Errors
    ///
    /// [`io::Error`] of the stream.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let file = &self.file;
        if let Some(refusal) = &self.refusal {
            if self.rows == 0 {
                return writeln!(out, "{file}: {refusal}");
            }
            self.write_refused(refusal, out)?;
        }
        writeln!(out, "{file}: {}", self.verdict())?;
        for UnknownField { name, rows } in &self.unknown_fields {
            let rows = counted(*rows);
            writeln!(
                out,
                "{file}: warning: the field `{name}` of {rows} means nothing here, and is not sent"
            )?;
        }
        Ok(())
    }

    fn write_refused(&self, refusal: &Refusal, out: &mut dyn Write) -> io::Result<()> {
        let file = &self.file;
        for row in &refusal.first_invalid_rows {
            writeln!(out, "{file}:{}: {}", row.line, row.reason)?;
        }
        let described = refusal.first_invalid_rows.len() as u64;
        if refusal.invalid_rows > described {
            let more = counted(refusal.invalid_rows - described);
            writeln!(out, "{file}: and {more} more, which are not described")?;
        }
        for model in &refusal.unknown_models {
            writeln!(out, "{file}:{}: {}", model.first_line, self.about(model, refusal))?;
        }
        let named: u64 = refusal.unknown_models.iter().map(|model| model.rows).sum();
        if refusal.unknown_model_rows > named {
            let more = counted(refusal.unknown_model_rows - named);
            writeln!(out, "{file}: and {more} of other names")?;
        }
        Ok(())
    }

    fn about(&self, model: &UnknownModel, refusal: &Refusal) -> String {
        match self.names {
            Names::Known(_) => format!("nothing serves {model}; {}", refusal.model_advice()),
            Names::ByCatalog(_) => format!(
                "warning: by the catalog of this program nothing serves {model}, and that of the operator decides; {}",
                refusal.model_advice()
            ),
            Names::Any => format!(
                "{model} has to be served by the job: give --model, with one that this program knows, to check it"
            ),
        }
    }

    /// A row may be both invalid and of a model that nothing serves, so that the two are not added.
    fn verdict(&self) -> String {
        let rows = counted(self.rows);
        let refusal = self.refusal.as_ref();
        let invalid = refusal.map_or(0, |refusal| refusal.invalid_rows);
        let unserved = refusal.filter(|_| self.refuses_models());
        match (invalid, unserved.map_or(0, |refusal| refusal.unknown_model_rows)) {
            (0, 0) => format!("good: {rows}"),
            (refused, 0) | (0, refused) => format!("bad: {refused} of {rows} cannot be run"),
            (invalid, unserved) => {
                format!("bad: of {rows}, {invalid} cannot be run, and nothing serves the model of {unserved}")
            }
        }
    }

    fn refuses_models(&self) -> bool {
        let has_unknown = self
            .refusal
            .as_ref()
            .is_some_and(|refusal| refusal.unknown_model_rows > 0);
        has_unknown && matches!(self.names, Names::Known(_))
    }
}

fn counted(rows: u64) -> String {
    match rows {
        1 => "1 row".to_owned(),
        rows => format!("{rows} rows"),
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
