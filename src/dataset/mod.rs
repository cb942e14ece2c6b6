//! The data set: read from a store, checked in one streaming pass, and read again block by block.
//!
//! Memory does not grow with the data set: lines and blocks are bounded, ids go to scratch files. It uses `openai` for what
//! a row is, `engine` for what is an adapter, and any `object_store`. Start with [`inspect`], which leaves an [`Index`] behind; a [`BlockReader`] reads the
//! rows of its blocks and refuses a data set that has changed since. What is compressed goes through a [`Decoder`]: offsets and
//! lines are those of the text, bytes and checksum of the whole those of the object as it is stored.

mod adapter_rows;
mod block;
mod block_checksum;
mod custom_ids;
mod decode;
mod digest;
mod findings;
mod forward;
mod index;
mod inspect;
#[cfg(test)]
mod inspect_tests;
mod lines;
mod model_names;
#[cfg(test)]
mod outage_tests;
mod read;
mod refusal;
mod rows_again;
#[cfg(test)]
mod skip_tests;
mod skipped;
mod source;
mod source_error;
#[cfg(test)]
mod testing;
mod unknown_fields;
#[cfg(test)]
mod web_tests;

pub use adapter_rows::AdapterRows;
pub use block::{Block, BlockLimits};
pub use block_checksum::{BlockChecksum, NotAChecksum};
pub use custom_ids::ScratchError;
pub use decode::{Compression, Decoder, Undecodable};
pub use digest::Sha256Digest;
pub use index::{Index, IndexError};
pub use inspect::{InspectError, Inspection, Scratch, inspect, inspect_describing};
pub use lines::{Line, LineSplitter, LineTooLong, MAX_ROW_BYTES};
pub use model_names::{Meaning, ModelNames};
pub use read::{BlockReader, DatasetRow, ReadError, RequestRead};
pub use refusal::{InvalidRow, InvalidRowReason, Refusal, UnknownModel};
pub use skipped::{SkippedLine, SkippedRow, SkippedRows, TooLongRow};
pub use source::{Source, SourceVersion};
pub use source_error::SourceError;
pub use unknown_fields::UnknownField;
