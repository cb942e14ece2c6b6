//! What the owner of a store's keys should check, depending on what the store answered.

use std::sync::Arc;

use super::error::other_region;

/// What to check when a store does not do what it is asked. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Hints {
    refused: Arc<str>,
    region: Option<Arc<str>>,
    not_found: Option<Arc<str>>,
}

impl Hints {
    /// For a store that answers as S3 does for a bucket of another region; `region` says where to name the right one.
    pub(super) fn with_region(self, region: impl Into<Arc<str>>) -> Self {
        let region = Some(region.into());
        Self { region, ..self }
    }

    /// For a store that says the same of what it does not have and of what it does not show; `not_found` says what else to do.
    pub(super) fn with_not_found(self, not_found: impl Into<Arc<str>>) -> Self {
        let not_found = Some(not_found.into());
        Self { not_found, ..self }
    }

    /// What to check when the store knows nobody by these keys, or does not let them do it.
    #[must_use]
    pub fn refused(&self) -> Arc<str> {
        Arc::clone(&self.refused)
    }

    /// What else to do when the store says that something is not there, besides correcting its name.
    #[must_use]
    pub fn not_found(&self) -> Option<Arc<str>> {
        self.not_found.clone()
    }

    /// What to do, if this answer means that the bucket is in another region.
    #[must_use]
    pub fn region(&self, answer: &object_store::Error) -> Option<Arc<str>> {
        let remedy = self.region.as_ref()?;
        let region = other_region(answer)?;
        Some(format!("its bucket is in {region}: {remedy}").into())
    }
}

/// The same whatever the store answers.
impl From<&str> for Hints {
    fn from(refused: &str) -> Self {
        Self::from(Arc::from(refused))
    }
}

impl From<Arc<str>> for Hints {
    fn from(refused: Arc<str>) -> Self {
        Self {
            refused,
            region: None,
            not_found: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(source: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: source.into(),
        }
    }

    #[test]
    fn a_bucket_of_another_region_is_told_with_the_region_if_the_store_names_it() {
        let hints = Hints::from("check the key").with_region("set AWS_REGION there");
        let redirect = "Received redirect without LOCATION, this normally indicates an incorrectly configured region";
        let malformed = "status code: 400 Bad Request: <Error><Code>AuthorizationHeaderMalformed</Code>\
                         <Region>eu-central-1</Region></Error>";
        for (source, want) in [
            (redirect, Some("its bucket is in another region: set AWS_REGION there")),
            (
                malformed,
                Some("its bucket is in the region eu-central-1: set AWS_REGION there"),
            ),
            ("status code: 400 Bad Request", None),
        ] {
            assert_eq!(hints.region(&answer(source)).as_deref(), want, "{source}");
        }
        assert_eq!(Hints::from("check the key").region(&answer(redirect)), None);
    }
}
