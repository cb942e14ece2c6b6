//! Proves a finished output against its data set, from the files alone, and says what differs.
//!
//! One pass walks data set, results and errors side by side in memory that does not grow with them. It uses `dataset` to
//! split lines, `openai` to read them, `results` for the manifest and `storage` to read; it writes nothing and knows nothing of
//! Kubernetes. Start with [`verify`], then [`walk`] (the pass), [`alignment`] (which line is which row) and [`facts`]
//! (what the manifest must say).

mod alignment;
mod difference;
mod differences;
mod facts;
mod lines;
mod locate;
mod prove;
mod row;
mod unfinished;
mod walk;

#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod manifest_tests;
#[cfg(test)]
mod testing;

pub use difference::Difference;
pub use differences::Differences;
pub use prove::{Proven, Verdict, verify};
pub use row::{FilePlace, RowPlace};
pub use unfinished::Unfinished;
