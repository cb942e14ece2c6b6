//! A URI and a Secret → an object store.
//!
//! Everything the product reads or writes for a user goes through here: data sets as a plain
//! [`object_store::ObjectStore`], outputs as a [`Store`], which knows its prefix and how to say
//! what went wrong. May use `api` and `openai` only; knows nothing of rows.
//!
//! Start with [`StoreUri`] (what a user writes), then [`open_output`] and [`Store`].

mod credentials;
mod error;
mod leftovers;
mod named;
mod open;
mod preflight;
mod store;
mod uri;
mod writer;

pub use credentials::{Credentials, CredentialsError, Giver, Side};
pub use error::{Error, is_outage, is_refused, skewed_clocks};
pub use named::{NamedError, open_named_folder, open_named_object};
pub use open::{Dataset, OpenError, open_dataset, open_output};
pub use preflight::{Preflight, preflight};
pub use store::{Dated, Entry, Put, Store};
pub use uri::{Root, StoreUri, UriError};
pub use writer::{ObjectWriter, part_bytes};
