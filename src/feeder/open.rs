//! Opens what the job names: the data set as a [`Source`], the output as a [`Store`].

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kube::{Client, ResourceExt};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, path::Path as Key};

use crate::api::BatchInferenceJob;
use crate::api::output::OutputPlace;
use crate::api::reason::Reason;
use crate::api::reference::LocalKeyReference;
use crate::dataset::{Sha256Digest, Source};
use crate::results::SEGMENTS;
use crate::storage::{Directories, Store, open_config_map, open_dataset, open_output};

use super::locate::{self, Located};
use super::report::End;
use super::trouble::chain;

/// Opens the data set. `directory` is where its claim or ConfigMap is mounted, `scratch` may hold a copy of it, `environment` has
/// the keys of its Secret.
///
/// # Errors
///
/// [`End`] when it cannot be opened as it is.
pub async fn open_source(
    job: &BatchInferenceJob,
    directory: &Path,
    scratch: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Source, End> {
    let dataset = &job.spec.dataset;
    if let Some(text) = &dataset.inline {
        return in_memory(text.clone().into(), "dataset", "spec.dataset.inline").await;
    }
    if let Some(reference) = &dataset.config_map {
        let content = read_key(directory, reference).await?;
        let name = format!("key {} of ConfigMap {}", reference.key, reference.name);
        return in_memory(content, &reference.key, &name).await;
    }
    let Located { uri, credentials } = locate::dataset(job, environment)?;
    let denied = |error: &dyn std::error::Error| End::new(Reason::DatasetAccessDenied, chain(error));
    let directories = Directories {
        mount: Some(directory),
        scratch: Some(scratch),
        copy_limit: job.spec.feeder.clone().unwrap_or_default().copy_limit(),
    };
    let opened = open_dataset(&uri, &credentials, directories).map_err(|error| denied(&error))?;
    Ok(Source::new(
        Arc::clone(&opened.store),
        opened.path.clone(),
        uri.to_string(),
        opened.hints(),
    ))
}

/// Opens the output. `directory` is where its claim is mounted, `environment` has the keys of its Secret; `client` is for a
/// ConfigMap.
///
/// # Errors
///
/// [`End`] when it cannot be opened as it is.
pub fn open_store(
    job: &BatchInferenceJob,
    client: &Client,
    directory: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Store, End> {
    match job.spec.output.place() {
        OutputPlace::ConfigMap(output) => {
            let namespace = job.namespace().unwrap_or_default();
            Ok(open_config_map(client.clone(), &namespace, output, SEGMENTS))
        }
        OutputPlace::DefaultStore => open_located(locate::default_output(job, environment)?, directory),
        OutputPlace::Uri(uri) => open_located(locate::output(uri, environment)?, directory),
    }
}

fn open_located(Located { uri, credentials }: Located, directory: &Path) -> Result<Store, End> {
    let opened = open_output(&uri, &credentials, Some(directory));
    opened.map_err(|error| End::new(Reason::OutputNotWritable, chain(&error)))
}

/// A data set that Kubernetes itself holds is at most a mebibyte. The end of its key says how it is stored.
async fn in_memory(content: Bytes, key: &str, name: &str) -> Result<Source, End> {
    let (store, key) = (InMemory::new(), Key::from(key));
    let checksum = Sha256Digest::of(&content);
    // Memory takes every put.
    let put = store.put(&key, content.into()).await;
    put.map_err(|error| End::new(Reason::DatasetNotFound, chain(&error)))?;
    Ok(Source::new(Arc::new(store) as Arc<dyn ObjectStore>, key, name, "").with_checksum(checksum))
}

async fn read_key(directory: &Path, reference: &LocalKeyReference) -> Result<Bytes, End> {
    let LocalKeyReference { name, key } = reference;
    let error = match tokio::fs::read(directory.join(key)).await {
        Ok(content) => return Ok(content.into()),
        Err(error) => error,
    };
    if error.kind() != std::io::ErrorKind::NotFound {
        let message = format!("key {key} of ConfigMap {name} cannot be read: {error}");
        return Err(End::new(Reason::DatasetNotFound, message));
    }
    let keys = keys_in(directory).await.unwrap_or_default();
    let there = if keys.is_empty() {
        "no key".to_owned()
    } else {
        keys.join(", ")
    };
    let message = format!("ConfigMap {name} has no key {key}; it has {there}: correct spec.dataset.configMap.key");
    Err(End::new(Reason::DatasetNotFound, message))
}

async fn keys_in(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    let mut keys = Vec::new();
    while let Some(entry) = entries.next_entry().await? {
        let name = entry.file_name().to_string_lossy().into_owned();
        // kubelet's own links (`..data`), by which it replaces all keys at once.
        if !name.starts_with("..") {
            keys.push(name);
        }
    }
    keys.sort();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::BatchInferenceJobSpec;
    use crate::api::dataset::DatasetSpec;
    use crate::dataset::Compression;

    fn job(dataset: DatasetSpec) -> BatchInferenceJob {
        let mut spec = BatchInferenceJobSpec {
            dataset,
            ..BatchInferenceJobSpec::default()
        };
        spec.output.uri = Some("s3://bucket/out".into());
        BatchInferenceJob::new("triangles", spec)
    }

    fn of_config_map(key: &str) -> BatchInferenceJob {
        job(DatasetSpec {
            config_map: Some(LocalKeyReference {
                name: "rows".into(),
                key: key.into(),
            }),
            ..DatasetSpec::default()
        })
    }

    async fn open(job: &BatchInferenceJob, directory: &Path, environment: &[(&str, &str)]) -> Result<Source, End> {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        open_source(job, directory, Path::new("/none"), environment.collect::<Vec<_>>()).await
    }

    #[tokio::test]
    async fn a_config_map_without_the_key_says_which_keys_it_has() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["..data", "b.jsonl", "a.jsonl"] {
            std::fs::write(directory.path().join(name), "{}").unwrap();
        }
        let end = open(&of_config_map("c.jsonl"), directory.path(), &[])
            .await
            .unwrap_err();
        assert_eq!(end.reason, Reason::DatasetNotFound);
        assert_eq!(
            end.message,
            "ConfigMap rows has no key c.jsonl; it has a.jsonl, b.jsonl: correct spec.dataset.configMap.key"
        );
        let source = open(&of_config_map("a.jsonl"), directory.path(), &[]).await.unwrap();
        assert_eq!(source.version().await.unwrap().size, 2);
        assert_eq!(source.compression(), Compression::None);
        std::fs::write(directory.path().join("d.jsonl.gz"), "{}").unwrap();
        let source = open(&of_config_map("d.jsonl.gz"), directory.path(), &[]).await.unwrap();
        assert_eq!(source.compression(), Compression::Gzip);
    }

    #[tokio::test]
    async fn the_version_of_what_kubernetes_holds_is_its_content() {
        let inline = async |text: &str| {
            let dataset = DatasetSpec {
                inline: Some(text.to_owned()),
                ..DatasetSpec::default()
            };
            let source = open(&job(dataset), Path::new("/none"), &[]).await.unwrap();
            source.version().await.unwrap().to_string()
        };
        let version = inline("{}").await;
        assert_eq!(version, inline("{}").await, "a restart would inspect it again");
        assert_ne!(version, inline("[]").await);
    }

    #[tokio::test]
    async fn a_claim_is_read_from_where_it_is_mounted() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("rows.jsonl"), "1234").unwrap();
        let job = job(DatasetSpec {
            uri: Some("pvc://claim/rows.jsonl".into()),
            ..DatasetSpec::default()
        });
        let source = open(&job, directory.path(), &[]).await.unwrap();
        assert_eq!(source.version().await.unwrap().size, 4);
        assert_eq!(source.object(), "pvc://claim/rows.jsonl");
    }

    #[tokio::test]
    async fn half_a_key_ends_the_job_before_any_store_is_asked() {
        let job = job(DatasetSpec {
            uri: Some("s3://bucket/rows.jsonl".into()),
            ..DatasetSpec::default()
        });
        let end = open(&job, Path::new("/none"), &[("DATASET_AWS_ACCESS_KEY_ID", "id")])
            .await
            .unwrap_err();
        assert_eq!(end.reason, Reason::DatasetAccessDenied);
        assert!(end.message.contains("AWS_SECRET_ACCESS_KEY"), "{}", end.message);
        let half = [("OUTPUT_AWS_ACCESS_KEY_ID".into(), "id".into())];
        let output = locate::output("s3://bucket/out", half).unwrap();
        let end = open_located(output, Path::new("/none")).unwrap_err();
        assert_eq!(end.reason, Reason::OutputNotWritable);
    }
}
