//! `job.json`: whose output this is, and for what work.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::storage::{Put, Store, StoreUri};

use super::checksum::{Checksum, Hasher};
use super::error::Error;
use super::format;
use super::{ERRORS, JOB, MANIFEST, RESULTS, SEGMENTS, STOPPED};

const FORMAT: &str = "batchinference.dev/job/v1";

/// What shapes rows: the same work done twice may share its rows, and no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    /// Of the data set's bytes.
    pub dataset_sha256: Checksum,
    /// The base model, as `spec.server.baseModel` was resolved.
    pub model: String,
    /// Its commit, when it comes from a hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `spec.server.quantization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Adapters that rows name, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<Adapter>,
}

/// An adapter that shapes rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adapter {
    /// As rows name it.
    pub name: String,
    /// Its commit or checksum, where servers can be told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Where it is, as `SOURCE:PATH`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// The name of some [`Work`]: the SHA-256 of its JSON as `job.json` has it, without spaces. Fields that are
/// not set are left out, so that a field of a later version does not change the name of today's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(Checksum);

impl Identity {
    /// Names some work.
    #[must_use]
    pub fn of(work: &Work) -> Self {
        let mut hasher = Hasher::default();
        // A struct of strings always is JSON.
        if let Ok(json) = serde_json::to_vec(work) {
            hasher.update(&json);
        }
        Self(hasher.finish())
    }

    /// As a checksum.
    #[must_use]
    pub fn checksum(self) -> Checksum {
        self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The job that works here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Of the object, so that a namesake is told apart.
    pub uid: String,
}

impl fmt::Display for JobReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The content of `job.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    format: String,
    identity: Identity,
    job: JobReference,
    dataset: ClaimedDataset,
    work: Work,
}

/// What the data set was when the claim was made; for people, as the identity has its checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ClaimedDataset {
    uri: String,
    rows: u64,
}

impl Claim {
    /// A claim of `job` for `work` on a data set of that many rows.
    #[must_use]
    pub fn new(job: JobReference, dataset_uri: &str, dataset_rows: u64, work: Work) -> Self {
        Self {
            format: FORMAT.to_owned(),
            identity: Identity::of(&work),
            job,
            dataset: ClaimedDataset {
                uri: dataset_uri.to_owned(),
                rows: dataset_rows,
            },
            work,
        }
    }

    /// What work it is for.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Who made it.
    #[must_use]
    pub fn job(&self) -> &JobReference {
        &self.job
    }

    /// What shapes its rows.
    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// The rows of its data set.
    #[must_use]
    pub fn dataset_rows(&self) -> u64 {
        self.dataset.rows
    }
}

/// How a claim ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Nothing was here; the claim stands.
    New,
    /// The same work was begun here, by this job or another (the claim found says which): its rows count.
    Resumed(Box<Claim>),
    /// The output cannot be used for this work.
    OutputNotEmpty(OutputNotEmpty),
}

/// Why an output cannot be used; the text is for the job's owner.
#[derive(Debug, PartialEq, Eq)]
pub enum OutputNotEmpty {
    /// Other work was begun here.
    OtherWork {
        /// Where.
        uri: StoreUri,
        /// By whom and what for.
        theirs: Box<Claim>,
        /// What was wanted.
        ours: Box<Work>,
    },
    /// Objects of our names without a claim.
    Unclaimed {
        /// One of them.
        uri: StoreUri,
    },
    /// A `job.json` that is none of ours, or a later version's.
    Unreadable {
        /// The claim.
        uri: StoreUri,
        /// Where and why.
        reason: String,
    },
}

impl fmt::Display for OutputNotEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherWork { uri, theirs, ours } => {
                let (job, difference) = (&theirs.job, difference(&theirs.work, ours));
                write!(f, "`{uri}`: job {job} wrote here with {difference}")?;
            }
            Self::Unclaimed { uri } => write!(f, "`{uri}` exists, but no {JOB} beside it")?,
            Self::Unreadable { uri, reason } => {
                write!(f, "`{uri}` is not what this version writes ({reason})")?;
            }
        }
        f.write_str(": choose an empty output, or move the old objects away")
    }
}

fn difference(theirs: &Work, ours: &Work) -> String {
    let unset = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    if theirs.dataset_sha256 != ours.dataset_sha256 {
        return format!("another data set (sha256 {})", theirs.dataset_sha256);
    }
    if theirs.model != ours.model {
        return format!("model {} instead of {}", theirs.model, ours.model);
    }
    if theirs.revision != ours.revision {
        return format!("revision {} of the model", unset(&theirs.revision));
    }
    if theirs.quantization != ours.quantization {
        return format!("quantization {}", unset(&theirs.quantization));
    }
    "other adapters".to_owned()
}

/// Claims an output, create-only. To be done before anything else is written there, and before any server
/// runs.
///
/// # Errors
///
/// [`Error`] when the store fails.
pub async fn claim(store: &Store, claim: &Claim) -> Result<Claimed, Error> {
    if let Some(answer) = compare(store, claim).await? {
        return Ok(answer);
    }
    if let Some(uri) = unclaimed(store).await? {
        // Perhaps another feeder of this job claimed and wrote between our two looks.
        let answer = compare(store, claim).await?;
        let refusal = Claimed::OutputNotEmpty(OutputNotEmpty::Unclaimed { uri });
        return Ok(answer.unwrap_or(refusal));
    }
    let uri = || store.uri_of(JOB);
    let mut json = serde_json::to_vec_pretty(claim).map_err(|source| Error::Json { uri: uri(), source })?;
    json.push(b'\n');
    if store.create(JOB, json).await? == Put::Created {
        return Ok(Claimed::New);
    }
    let answer = compare(store, claim).await?;
    answer.ok_or_else(|| Error::Vanished { uri: uri() })
}

/// What the claim that is there means for ours; `None` when there is none.
async fn compare(store: &Store, ours: &Claim) -> Result<Option<Claimed>, Error> {
    let Some(json) = store.read(JOB).await? else {
        return Ok(None);
    };
    let uri = store.uri_of(JOB);
    Ok(Some(match parse(&json) {
        Err(error) => Claimed::OutputNotEmpty(OutputNotEmpty::Unreadable {
            uri,
            reason: error.to_string(),
        }),
        Ok(theirs) if theirs.identity == ours.identity => Claimed::Resumed(Box::new(theirs)),
        Ok(theirs) => Claimed::OutputNotEmpty(OutputNotEmpty::OtherWork {
            uri,
            theirs: Box::new(theirs),
            ours: Box::new(ours.work.clone()),
        }),
    }))
}

/// Reads the claim of an output; `None` when nobody has claimed it.
///
/// # Errors
///
/// [`Error`] when the store fails or the object is not ours.
pub async fn read_claim(store: &Store) -> Result<Option<Claim>, Error> {
    let Some(json) = store.read(JOB).await? else {
        return Ok(None);
    };
    parse(&json).map(Some).map_err(|source| Error::Unreadable {
        uri: store.uri_of(JOB),
        source,
    })
}

fn parse(json: &[u8]) -> serde_json::Result<Claim> {
    let claim: Claim = serde_json::from_slice(json)?;
    format::check(&claim.format, FORMAT)?;
    Ok(claim)
}

/// An object that finalising would replace, or go by as if it were ours.
async fn unclaimed(store: &Store) -> Result<Option<StoreUri>, Error> {
    for key in [MANIFEST, RESULTS, ERRORS, STOPPED] {
        if store.size(key).await?.is_some() {
            return Ok(Some(store.uri_of(key)));
        }
    }
    let segments = store.list(SEGMENTS).await?;
    Ok(segments.first().map(|entry| store.uri_of(&entry.key)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::super::testing::{FailingStore, text};
    use super::*;

    fn work() -> Work {
        Work {
            dataset_sha256: Checksum::of(b"rows"),
            model: "smollm2-135m".into(),
            revision: None,
            quantization: None,
            adapters: Vec::new(),
        }
    }

    fn ours(name: &str, work: Work) -> Claim {
        let job = JobReference {
            namespace: "default".into(),
            name: name.into(),
            uid: format!("uid-of-{name}"),
        };
        Claim::new(job, "s3://bucket/rows.jsonl", 100, work)
    }

    async fn refusal(store: &Store, ours: &Claim) -> String {
        match claim(store, ours).await.unwrap() {
            Claimed::OutputNotEmpty(reason) => reason.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_golden_file_is_written_byte_for_byte() {
        let json = serde_json::to_string_pretty(&ours("triangles", work())).unwrap() + "\n";
        assert_eq!(json, include_str!("golden/job.json"));
    }

    #[test]
    fn whatever_shapes_rows_changes_the_identity() {
        let base = Identity::of(&work());
        let adapter = |revision: Option<&str>| Adapter {
            name: "a".into(),
            revision: revision.map(Into::into),
            location: None,
        };
        let with = |change: fn(&mut Work)| {
            let mut work = work();
            change(&mut work);
            Identity::of(&work)
        };
        let others = [
            with(|work| work.dataset_sha256 = Checksum::of(b"other")),
            with(|work| work.model = "other".into()),
            with(|work| work.revision = Some("main".into())),
            with(|work| work.quantization = Some("main".into())),
            Identity::of(&Work {
                adapters: vec![adapter(None)],
                ..work()
            }),
            Identity::of(&Work {
                adapters: vec![adapter(Some("1"))],
                ..work()
            }),
            Identity::of(&Work {
                adapters: vec![Adapter {
                    location: Some("Hub:org/a".into()),
                    ..adapter(None)
                }],
                ..work()
            }),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, base);
            assert!(!others[..index].contains(other));
        }
        assert_eq!(ours("a", work()).identity(), ours("b", work()).identity());
    }

    #[tokio::test]
    async fn the_same_work_is_resumed_also_by_another_job() {
        let store = Store::in_memory();
        let first = ours("first", work());
        assert_eq!(claim(&store, &first).await.unwrap(), Claimed::New);
        let second = claim(&store, &ours("second", work())).await.unwrap();
        assert_eq!(second, Claimed::Resumed(Box::new(first)));
    }

    #[tokio::test]
    async fn other_work_is_refused_by_name() {
        let store = Store::in_memory();
        claim(&store, &ours("first", work())).await.unwrap();
        let other = Work {
            model: "qwen3-8b".into(),
            ..work()
        };
        assert_eq!(
            refusal(&store, &ours("second", other)).await,
            "`s3://memory/job.json`: job default/first wrote here with model smollm2-135m instead of \
             qwen3-8b: choose an empty output, or move the old objects away"
        );
    }

    #[tokio::test]
    async fn objects_without_a_claim_are_refused_and_left_alone() {
        for key in [MANIFEST, RESULTS, ERRORS, STOPPED, "segments/a000001-00000000.seg"] {
            let store = Store::in_memory();
            store.create(key, "theirs").await.unwrap();
            let message = refusal(&store, &ours("first", work())).await;
            assert!(message.contains(key), "{message}");
            assert_eq!(text(&store, key).await, "theirs");
            assert_eq!(store.size(JOB).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_claim_of_a_later_version_or_of_something_else_is_refused() {
        let later = serde_json::to_string(&ours("first", work())).unwrap();
        for json in ["{}".to_owned(), later.replace("/v1", "/v2")] {
            let store = Store::in_memory();
            store.create(JOB, json).await.unwrap();
            let message = refusal(&store, &ours("first", work())).await;
            assert!(message.contains("this version"), "{message}");
        }
    }

    #[tokio::test]
    async fn a_claim_whose_answer_was_lost_is_our_own() {
        let memory = Arc::new(InMemory::new());
        let ours = ours("first", work());
        for operations in 1..20 {
            let store = FailingStore::over(&memory, operations, true);
            if claim(&store, &ours).await.is_ok() {
                break;
            }
        }
        let again = claim(&FailingStore::never(&memory), &ours).await.unwrap();
        assert_eq!(again, Claimed::Resumed(Box::new(ours)));
    }
}
