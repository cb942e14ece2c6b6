//! A URI and a Secret → an object store.
//!
//! Everything the product reads or writes for a user goes through here: data sets as a plain
//! [`object_store::ObjectStore`], outputs as a [`Store`], which knows its prefix and how to say
//! what went wrong. A file of a web server or a hub is a store that holds nothing else (`web`); ConfigMaps are one for small results
//! (`config_map`); a hub is also asked of models ([`ModelHub`]). May use `api` and `openai` only;
//! knows nothing of rows.
//!
//! Start with [`StoreUri`] (what a user writes), then [`open_output`] and [`Store`]; what each kind of store calls its keys is in
//! `credentials/kind.rs`.

mod address;
mod causes;
mod clouds;
mod config_map;
mod connection_string;
mod credentials;
mod default_store;
mod error;
mod hints;
mod hub;
mod leftovers;
#[cfg(test)]
pub mod loopback;
mod named;
mod network;
mod no_proxy;
mod open;
mod parts;
mod preflight;
mod store;
mod uri;
mod uri_error;
mod web;
mod writer;

pub use address::{Hub, Web};
pub use causes::{chain, whole_chain};
pub use config_map::open_config_map;
pub use credentials::{Credentials, CredentialsError, Given, Giver, Side};
pub use default_store::{DefaultStoreError, default_store, default_store_of_secret};
pub use error::{Error, is_outage, is_refused, scratch_failure, skewed_clocks};
pub use hints::Hints;
pub use hub::{Download, HubError, ModelHub};
pub use named::{NamedError, open_named_dataset, open_named_folder, open_named_object};
pub use network::is_inside_cluster;
pub use no_proxy::{NoProxy, is_this_machine};
pub use open::{Dataset, Directories, OpenError, open_dataset, open_output};
pub use parts::{Parts, open_parts};
pub use preflight::{Preflight, preflight};
pub use store::{Dated, Entry, Put, Store};
pub use uri::{Cloud, Root, StoreUri};
pub use uri_error::UriError;
pub use writer::{ObjectWriter, part_bytes};
