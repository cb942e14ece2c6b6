//! Opens what a person at a machine names: a store's URI with the keys of the environment, or a path on this machine.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::credentials::{Credentials, Side};
use super::open::{Dataset, Directories, OpenError, open_dataset, open_output};
use super::store::Store;
use super::uri::StoreUri;
use super::uri_error::UriError;

/// What was named cannot even be looked for.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    /// A scheme that means nothing here.
    #[error(
        "`{text}`: write the s3://, gs://, az://, https:// or hf:// URI that the job has, or the path of what is on this machine"
    )]
    Scheme {
        /// As written.
        text: String,
    },
    /// A claim is known to its cluster only.
    #[error("`{text}`: a claim cannot be read from here; give the path where it is mounted, or of a copy")]
    Claim {
        /// As written.
        text: String,
    },
    /// So is a ConfigMap.
    #[error(
        "`{text}`: a ConfigMap cannot be read from here; write its keys to files (kubectl get configmap NAME -o \
         jsonpath='{{.data.results\\.jsonl}}') and give their folder"
    )]
    ConfigMap {
        /// As written.
        text: String,
    },
    /// A path that ends in no name.
    #[error("`{text}` names no file")]
    NoFile {
        /// As written.
        text: String,
    },
    /// The folder is not there, or is none.
    #[error("`{path}` is not a folder that can be read here")]
    Folder {
        /// As written.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A wrong URI.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// Keys or settings in the environment that cannot work.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Opens a prefix (`s3://bucket/run/`) or a folder (`./out/`). Of `vars`, those of the output's side count.
///
/// # Errors
///
/// [`NamedError`]; a store that is not on this machine is not asked yet.
pub fn open_named_folder(text: &str, vars: impl IntoIterator<Item = (String, String)>) -> Result<Store, NamedError> {
    let uri = match place(text)? {
        Place::Uri => StoreUri::parse_prefix(text)?,
        Place::Path(path) => folder(path)?,
    };
    Ok(open_output(&uri, &Credentials::of_person(Side::Output, vars), None)?)
}

/// Opens the folder of one object (`s3://bucket/rows.jsonl`) or file (`rows.jsonl`), and gives its key there. Of `vars`,
/// those of the data set's side count.
///
/// # Errors
///
/// [`NamedError`]; a store that is not on this machine is not asked yet.
pub fn open_named_object(
    text: &str,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<(Store, String), NamedError> {
    let credentials = Credentials::of_person(Side::Dataset, vars);
    let path = match place(text)? {
        Place::Path(path) => path,
        Place::Uri => {
            let uri = StoreUri::parse_object(text)?;
            let opened = open_dataset(&uri, &credentials, Directories::default())?;
            let (prefix, key) = uri.split();
            return Ok((
                Store::new(Arc::clone(&opened.store), prefix, opened.hints()),
                key.to_owned(),
            ));
        }
    };
    let (parent, name) = split(path)?;
    let store = open_output(&folder(&parent)?, &credentials, None)?;
    Ok((store, name.to_owned()))
}

/// Opens a data set (`s3://bucket/rows.jsonl`, `rows.jsonl`), to be read. Of `vars`, those of the data set's side count; `scratch`
/// may hold a copy of what a web server gives only as a whole.
///
/// # Errors
///
/// [`NamedError`]; a store that is not on this machine is not asked yet.
pub fn open_named_dataset(
    text: &str,
    vars: impl IntoIterator<Item = (String, String)>,
    scratch: &Path,
) -> Result<Dataset, NamedError> {
    let uri = match place(text)? {
        Place::Uri => StoreUri::parse_object(text)?,
        Place::Path(path) => {
            let (parent, name) = split(path)?;
            folder(&parent)?.join(name)
        }
    };
    let directories = Directories {
        scratch: Some(scratch),
        ..Directories::default()
    };
    Ok(open_dataset(
        &uri,
        &Credentials::of_person(Side::Dataset, vars),
        directories,
    )?)
}

/// The folder of a path, and its name there.
fn split(path: &str) -> Result<(String, &str), NamedError> {
    let (parent, name) = path.rsplit_once('/').unwrap_or((".", path));
    if matches!(name, "" | "." | "..") {
        return Err(NamedError::NoFile { text: path.to_owned() });
    }
    Ok((format!("{parent}/"), name))
}

enum Place<'a> {
    Uri,
    Path(&'a str),
}

fn place(text: &str) -> Result<Place<'_>, NamedError> {
    let own = || text.to_owned();
    match text.split_once("://") {
        None if text.is_empty() => Err(NamedError::NoFile { text: own() }),
        None => Ok(Place::Path(text)),
        Some(("file", path)) => Ok(Place::Path(path)),
        Some(("s3" | "gs" | "az" | "https" | "http" | "hf", _)) => Ok(Place::Uri),
        Some(("pvc", _)) => Err(NamedError::Claim { text: own() }),
        Some(("configmap", _)) => Err(NamedError::ConfigMap { text: own() }),
        Some(_) => Err(NamedError::Scheme { text: own() }),
    }
}

fn folder(path: &str) -> Result<StoreUri, NamedError> {
    let error = |source| NamedError::Folder {
        path: path.to_owned(),
        source,
    };
    let about = Path::new(path).metadata().map_err(error)?;
    if !about.is_dir() {
        return Err(error(io::ErrorKind::NotADirectory.into()));
    }
    Ok(StoreUri::in_folder(path, ""))
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    const NO_VARS: [(String, String); 0] = [];

    #[tokio::test]
    async fn files_and_folders_are_read_by_their_paths() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("my rows.jsonl"), "{}\n").unwrap();
        for prefix in ["", "file://"] {
            let (store, key) = open_named_object(&format!("{prefix}{path}/my rows.jsonl"), NO_VARS).unwrap();
            assert_eq!(store.read(&key).await.unwrap().unwrap(), "{}\n");
            let store = open_named_folder(&format!("{prefix}{path}"), NO_VARS).unwrap();
            assert_eq!(store.read("my rows.jsonl").await.unwrap().unwrap(), "{}\n");
            assert_eq!(store.read("other").await.unwrap(), None);
            assert_eq!(store.uri_of("other").to_string(), format!("{path}/other"));
            assert_eq!(store.list("").await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_data_set_is_a_file_or_an_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("{}/my rows.jsonl", folder.path().display());
        std::fs::write(&path, "{}\n").unwrap();
        let dataset = open_named_dataset(&path, NO_VARS, folder.path()).unwrap();
        let read = dataset.store.get(&dataset.path).await.unwrap();
        assert_eq!(read.bytes().await.unwrap(), "{}\n");
        assert_eq!(dataset.uri.to_string(), path);
        let dataset = open_named_dataset("s3://bucket/a/rows.jsonl", NO_VARS, folder.path()).unwrap();
        assert_eq!(dataset.path.as_ref(), "a/rows.jsonl");
    }

    #[test]
    fn a_bucket_is_opened_at_the_folder_of_the_object() {
        let (store, key) = open_named_object("s3://bucket/a/rows.jsonl", NO_VARS).unwrap();
        assert_eq!(
            (store.uri_of("").to_string(), key.as_str()),
            ("s3://bucket/a/".into(), "rows.jsonl")
        );
        for text in [
            "s3://bucket/rows.jsonl",
            "gs://bucket/a/rows.jsonl",
            "https://host/a/rows.jsonl",
            "hf://datasets/org/set@main/rows.jsonl",
        ] {
            let (store, key) = open_named_object(text, NO_VARS).unwrap();
            assert_eq!(store.uri_of(&key).to_string(), text);
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        let refusal = |text: &str| open_named_folder(text, NO_VARS).unwrap_err().to_string();
        assert!(refusal("ftp://host/run/").contains("or the path of what is on this machine"));
        assert!(refusal("https://host/run/").contains("nothing is written to https://"));
        assert!(refusal("pvc://claim/run/").contains("give the path where it is mounted"));
        assert!(refusal("configmap://out/").contains(r"-o jsonpath='{.data.results\.jsonl}'"));
        assert_eq!(
            refusal("/no/such/"),
            "`/no/such/` is not a folder that can be read here"
        );
        assert!(refusal("/etc/passwd").contains("is not a folder"));
        for text in ["", "folder/", "..", "s3://bucket/folder/"] {
            let error = open_named_object(text, NO_VARS).unwrap_err().to_string();
            assert!(error.contains("names no"), "{error}");
        }
    }
}
