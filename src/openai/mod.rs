//! Request rows and result rows in the `OpenAI` batch format, byte for byte.
//!
//! Everything here is pure: bytes in, values out. It uses `serde_json` to check and to find places in a text, never to
//! re-write one: a round trip through a value type would change numbers, spacing, escapes and doubled keys. A good row is
//! read by `scan` alone, which is several times as fast and accepts no more; for all else `serde_json` has the last word.
//! Start with [`RequestRow`] (one line of a data set) and [`ResultRow`] (one line of the results).

mod body;
mod custom_id;
mod endpoint;
#[cfg(test)]
mod golden_tests;
mod json;
mod position;
mod request;
mod response;
mod result_line;
mod result_row;
mod row_error;
mod row_set;
mod scan;
mod usage;

pub(crate) use json::{offset_in, shortened};

pub use body::RequestBody;
pub use custom_id::{CustomId, EmptyCustomId};
pub use endpoint::{Endpoint, UnknownEndpoint};
pub use position::{LineNumber, RowNumber};
pub use request::RequestRow;
pub use response::ResponseBody;
pub use result_line::{ResultLine, ResultLineError, RowName};
pub use result_row::{INVALID_ROW, Outcome, RESPONSE_NOT_JSON, ResultRow};
pub use row_error::{Field, RowError};
pub use row_set::RowSet;
pub use usage::Usage;
