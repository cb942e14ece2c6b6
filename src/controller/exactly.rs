//! Writes to an object exactly as it is known: one that is gone, or another by now, is left alone.

use std::fmt::Debug;

use kube::Resource;
use kube::api::{Api, DeleteParams, Preconditions};
use serde::de::DeserializeOwned;

/// HTTP status of an object that is gone.
const NOT_FOUND: u16 = 404;
/// HTTP status of an object that is there already, or that is not what a write takes it for.
const CONFLICT: u16 = 409;

/// Whether a write was refused as the object is gone, or not as it was known.
pub(super) fn is_outdated(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if [NOT_FOUND, CONFLICT].contains(&status.code))
}

/// Deletes the object of that name if it has this uid and, where one is given, this version.
///
/// # Errors
/// When the API server cannot be asked, or does not allow it.
pub(super) async fn delete_exactly<K>(
    api: &Api<K>,
    name: &str,
    params: DeleteParams,
    exactly: Preconditions,
) -> kube::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    match api.delete(name, &params.preconditions(exactly)).await {
        Err(error) if !is_outdated(&error) => Err(error),
        _ => Ok(()),
    }
}

/// That an object has this uid.
pub(super) fn of_uid(uid: Option<String>) -> Preconditions {
    Preconditions {
        uid,
        resource_version: None,
    }
}
