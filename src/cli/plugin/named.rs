//! What a person calls a job: `NAME`, its uid, or `TYPE/NAME` as `-o name` prints it. Pure.

use kube::Resource;

use super::refusal::Refusal;
use crate::api::BatchInferenceJob;

/// As the definition has it (`src/api/job.rs`).
const SHORT_NAME: &str = "bij";
/// The longest name of an object (k8s.io/apimachinery, `DNS1123SubdomainMaxLength`).
const LONGEST: usize = 253;

/// The name, or the uid, without the type before it.
///
/// # Errors
///
/// [`Refusal::NoName`], when no object is called so.
pub fn bare(text: &str) -> Result<&str, Refusal> {
    let name = match text.split_once('/') {
        Some((kind, name)) if is_job(kind) => name,
        _ => text,
    };
    if is_name(name) {
        return Ok(name);
    }
    let what = format!("`{text}`");
    Err(Refusal::NoName { what })
}

/// Types are known to kubectl by each of their names, in any case, and with their group.
fn is_job(kind: &str) -> bool {
    let kind = kind.to_lowercase();
    let kind = kind.split_once('.').map_or(kind.as_str(), |(kind, group)| {
        if group == BatchInferenceJob::group(&()) {
            kind
        } else {
            ""
        }
    });
    let singular = BatchInferenceJob::kind(&()).to_lowercase();
    [SHORT_NAME, &*singular, &*BatchInferenceJob::plural(&())].contains(&kind)
}

/// RFC 1123, as the API server reads it (k8s.io/apimachinery, `IsDNS1123Subdomain`).
fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().next_back()];
        ends.into_iter().all(|end| end.is_some_and(is_letter))
            && label.bytes().all(|byte| is_letter(byte) || byte == b'-')
    };
    text.len() <= LONGEST && text.split('.').all(is_label)
}

/// Whether a text is written as the API server writes uids (RFC 9562). A name may be, too.
#[must_use]
pub fn is_uid(text: &str) -> bool {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let fits = |(at, byte): (usize, u8)| {
        if DASHES.contains(&at) {
            return byte == b'-';
        }
        byte.is_ascii_hexdigit()
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;

    use super::*;

    #[test]
    fn a_job_is_called_as_it_is_printed() {
        for text in [
            "triangles",
            "bij/triangles",
            "batchinferencejob/triangles",
            "batchinferencejobs/triangles",
            "batchinferencejob.batchinference.dev/triangles",
            "BatchInferenceJob/triangles",
        ] {
            assert_eq!(bare(text), Ok("triangles"), "{text}");
        }
        for name in ["a.b-c.0", "0b5d3d7e-5f60-4c1e-9a0b-8a3f4a5d2c11", &"a".repeat(253)] {
            assert_eq!(bare(name), Ok(name));
        }
        for text in [
            "",
            "bij/",
            "pod/triangles",
            "batchinferencejob.other.dev/triangles",
            "Triangles",
            "a b",
            "a..b",
            "-a",
            "a-",
            "../x",
            &"a".repeat(254),
        ] {
            let error = bare(text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{text}` is no name in Kubernetes")),
                "{error}"
            );
        }
        let names = BatchInferenceJob::crd().spec.names;
        assert_eq!(names.short_names.as_deref(), Some(&[SHORT_NAME.to_owned()][..]));
    }

    #[test]
    fn a_uid_is_told_from_a_name() {
        assert!(is_uid("0b5d3d7e-5f60-4c1e-9a0b-8a3f4a5d2c11"));
        for name in [
            "triangles",
            "",
            "0b5d3d7e05f60-4c1e-9a0b-8a3f4a5d2c11",
            "0b5d3d7e-5f60-4c1e-9a0b",
        ] {
            assert!(!is_uid(name), "{name}");
        }
    }
}
