//! What kubelet's words about an image mean: a wrong image, or a registry that does not answer. Pure, a part of [`super::waiting`].
//!
//! Kubelet's reasons and the form of its back-off message: `pkg/kubelet/images` of Kubernetes 1.34 (up to 1.31, the back-off does not
//! repeat what the pull said). The words within are containerd's (1.7, `remotes/docker`) or CRI-O's.

/// Why an image is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pull {
    /// Its name is none.
    InvalidName,
    /// The registry says that there is no such image, or does not let it be pulled.
    Refused,
    /// The registry does not answer, or not now.
    NoAnswer,
    /// The words do not tell.
    Unknown,
}

/// The registry, or the way there.
const NO_ANSWER: &[&str] = &[
    "dial tcp",
    "i/o timeout",
    "no such host",
    "connection refused",
    "connection reset by peer",
    "connection timed out",
    "TLS handshake timeout",
    "context deadline exceeded",
    "because the registry is unavailable",
    "429 Too Many Requests",
    "toomanyrequests",
    "500 Internal Server Error",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "504 Gateway Time",
];

const REFUSED: &[&str] = &[
    ": not found",
    "manifest unknown",
    "name unknown",
    "pull access denied",
    "insufficient_scope",
    "401 Unauthorized",
    "403 Forbidden",
    "unauthorized: ",
    "denied: ",
    "is not present with pull policy of Never",
];

/// What a container's waiting reason and message say; none when they are not about its image.
pub(super) fn pull(reason: &str, words: &str) -> Option<Pull> {
    match reason {
        "InvalidImageName" => Some(Pull::InvalidName),
        "RegistryUnavailable" => Some(Pull::NoAnswer),
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" => Some(meaning(words)),
        "ImageInspectError" | "SignatureValidationFailed" => Some(Pull::Unknown),
        _ => None,
    }
}

/// What cannot be asked cannot refuse: that the token's server is away also makes a pull unauthorized.
fn meaning(words: &str) -> Pull {
    let has = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    if has(NO_ANSWER) {
        Pull::NoAnswer
    } else if has(REFUSED) {
        Pull::Refused
    } else {
        Pull::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_image_is_told_from_a_registry_that_does_not_answer() {
        let table = [
            (
                "ErrImagePull",
                // containerd 1.7, remotes/docker/resolver.go.
                "failed to pull and unpack image \"docker.io/library/controller:latest\": failed to resolve reference \"docker.io/library/controller:latest\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                Pull::Refused,
            ),
            (
                "ErrImagePull",
                "rpc error: code = NotFound desc = failed to pull and unpack image \"ghcr.io/me/app:1\": failed to resolve reference \"ghcr.io/me/app:1\": ghcr.io/me/app:1: not found",
                Pull::Refused,
            ),
            (
                "ErrImagePull",
                // containerd 1.7, remotes/errors/errors.go.
                "failed to pull and unpack image \"quay.io/me/app:1\": failed to resolve reference \"quay.io/me/app:1\": unexpected status from HEAD request to https://quay.io/v2/me/app/manifests/1: 401 Unauthorized",
                Pull::Refused,
            ),
            (
                "ErrImagePull",
                // CRI-O, containers/image.
                "reading manifest 9 in docker.io/library/busybox: manifest unknown",
                Pull::Refused,
            ),
            (
                "ErrImagePull",
                // apecloud/kubeblocks issue 9169.
                "failed to pull and unpack image \"docker.io/msoap/shell2http:1.16.0\": failed to resolve reference \"docker.io/msoap/shell2http:1.16.0\": failed to do request: Head \"https://registry-1.docker.io/v2/msoap/shell2http/manifests/1.16.0\": dial tcp 199.96.61.1:443: connect: connection timed out",
                Pull::NoAnswer,
            ),
            (
                "ErrImagePull",
                "failed to do request: Head \"https://registry.example/v2/app/manifests/1\": dial tcp: lookup registry.example on 10.96.0.10:53: no such host",
                Pull::NoAnswer,
            ),
            (
                "ErrImagePull",
                "failed to do request: Head \"https://registry.example/v2/app/manifests/1\": net/http: TLS handshake timeout",
                Pull::NoAnswer,
            ),
            (
                "ErrImagePull",
                "unexpected status from HEAD request to https://registry.example/v2/app/manifests/1: 503 Service Unavailable",
                Pull::NoAnswer,
            ),
            (
                "ErrImagePull",
                "failed to copy: httpReadSeeker: failed open: unexpected status code https://registry-1.docker.io/v2/library/busybox/manifests/sha256:1: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
                Pull::NoAnswer,
            ),
            (
                "RegistryUnavailable",
                // pkg/kubelet/images/image_manager.go of Kubernetes 1.34, evalCRIPullErr.
                "image pull failed for app:1 because the registry is unavailable: pinging container registry",
                Pull::NoAnswer,
            ),
            (
                "ImagePullBackOff",
                // pkg/kubelet/images/image_manager.go of Kubernetes 1.34, pullImage.
                "Back-off pulling image \"ghcr.io/me/app:1\": ErrImagePull: failed to resolve reference \"ghcr.io/me/app:1\": ghcr.io/me/app:1: not found",
                Pull::Refused,
            ),
            (
                "ImagePullBackOff",
                "Back-off pulling image \"ghcr.io/me/app:1\"",
                Pull::Unknown,
            ),
            (
                "ErrImagePull",
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Pull::Unknown,
            ),
            (
                "ErrImageNeverPull",
                // pkg/kubelet/images/image_manager.go of Kubernetes 1.34.
                "Container image \"app:1\" is not present with pull policy of Never",
                Pull::Refused,
            ),
            (
                "InvalidImageName",
                "Failed to apply default image tag \"Me/App\": couldn't parse image name \"Me/App\": invalid reference format",
                Pull::InvalidName,
            ),
        ];
        for (reason, words, meaning) in table {
            assert_eq!(pull(reason, words), Some(meaning), "{words}");
        }
        assert_eq!(pull("CrashLoopBackOff", "back-off 10s"), None);
    }
}
