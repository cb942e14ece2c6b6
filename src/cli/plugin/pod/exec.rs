//! Asks a pod, as `kubectl exec` does.

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::task::AbortOnDropHandle;

use super::super::refusal::Refusal;
use super::{CONTAINER, PodError};

/// Where the image has the program (Dockerfile).
const PROGRAM: &str = "/usr/local/bin/batch-inference-operator";
/// What processes end with that SIGKILL and SIGTERM end: 128 and the signal.
const KILLED: [&str; 2] = ["137", "143"];
/// Of an answer or of what is sent, on its way.
const BUFFER_BYTES: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The API server, or the connection to it.
    #[error("the pod cannot be asked")]
    Exec(#[source] Box<kube::Error>),
    /// A right is missing.
    #[error(transparent)]
    Forbidden(Refusal),
    /// The connection ended in the middle, or says nothing any more.
    #[error("the connection to the pod was lost")]
    Lost,
    /// The pod is gone, and there is no other.
    #[error("the pod is gone, and no other can be started")]
    Gone(#[source] Box<PodError>),
    /// The program in the pod said so.
    #[error("{0}")]
    Refused(String),
    /// The answer is none.
    #[error("the pod's answer is not what this program knows: is the operator's image of another version?")]
    Answer(#[from] serde_json::Error),
}

impl RemoteError {
    /// Whether another try, perhaps of another pod, may get an answer.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Lost => true,
            // 404 is a pod that is gone, 429 an API server that has too much to do.
            Self::Exec(error) => match &**error {
                kube::Error::Api(status) => matches!(status.code, 404 | 429) || status.code >= 500,
                _ => true,
            },
            Self::Forbidden(_) | Self::Gone(_) | Self::Refused(_) | Self::Answer(_) => false,
        }
    }
}

/// Runs `batch-inference-operator output` with these words in a pod, gives it an input, and gives what it says.
///
/// # Errors
///
/// [`RemoteError`].
pub async fn exec(pods: &Api<Pod>, pod: &str, words: &[String], input: &Bytes) -> Result<Bytes, RemoteError> {
    let command = [PROGRAM, "output"].into_iter().chain(words.iter().map(String::as_str));
    let parameters = AttachParams {
        container: Some(CONTAINER.to_owned()),
        stdin: !input.is_empty(),
        max_stdin_buf_size: Some(BUFFER_BYTES),
        max_stdout_buf_size: Some(BUFFER_BYTES),
        ..AttachParams::default()
    };
    let process = pods.exec(pod, command.collect::<Vec<_>>(), &parameters).await;
    let mut process = process.map_err(|error| RemoteError::Exec(Box::new(error)))?;
    let (stdin, stdout, stderr) = (process.stdin(), process.stdout(), process.stderr());
    let status = process.take_status();
    // A connection that breaks ends none of the three streams, but the status: nothing waits for them alone.
    let reading = AbortOnDropHandle::new(tokio::spawn(async move { tokio::join!(whole(stdout), whole(stderr)) }));
    let _sending = AbortOnDropHandle::new(tokio::spawn(send(stdin, input.clone())));
    let status = match status {
        Some(status) => status.await.ok_or(RemoteError::Lost)?,
        None => return Err(RemoteError::Lost),
    };
    let (stdout, stderr) = reading.await.map_err(|_| RemoteError::Lost)?;
    if status.status.as_deref() == Some("Success") {
        return Ok(stdout.into());
    }
    let said = String::from_utf8_lossy(&stderr).trim().to_owned();
    if said.is_empty() && was_killed(&status) {
        return Err(RemoteError::Lost);
    }
    Err(RemoteError::Refused(if said.is_empty() {
        status.message.unwrap_or_default()
    } else {
        said
    }))
}

/// Whether a process was ended from outside, which happens to all when their pod ends: no answer to what it was asked. The exit code is told as
/// a cause (`ServeExec` in k8s.io/kubelet, `pkg/cri/streaming/remotecommand/exec.go`, of Kubernetes 1.34).
fn was_killed(status: &Status) -> bool {
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let mut causes = causes.into_iter().flatten();
    let exit_code = causes.find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let exit_code = exit_code.and_then(|cause| cause.message.as_deref());
    exit_code.is_some_and(|code| KILLED.contains(&code))
}

/// Sends all of it. Its end is not told: with the older of the two protocols that ends the whole connection, and the answer would be lost.
async fn send(stream: Option<impl AsyncWrite + Unpin>, input: Bytes) {
    let Some(mut stream) = stream else { return };
    // Where it fails, the program has ended, and its status says why.
    if stream.write_all(&input).await.is_ok() {
        let _ = stream.flush().await;
    }
}

/// All that comes.
async fn whole(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes).await;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_program_is_where_the_image_has_it() {
        let image = include_str!("../../../../Dockerfile");
        assert!(image.contains(&format!("ENTRYPOINT [\"{PROGRAM}\"]")));
    }

    #[test]
    fn a_process_that_was_killed_has_refused_nothing() {
        for (code, expected) in [("137", true), ("143", true), ("1", false)] {
            let status = json!({
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code}]},
            });
            assert_eq!(was_killed(&serde_json::from_value(status).unwrap()), expected, "{code}");
        }
        assert!(!was_killed(&Status::default()));
    }

    #[test]
    fn what_a_pod_or_the_api_server_says_for_good_is_not_asked_again() {
        let answered = |code| {
            let status = kube::core::Status::failure("its words", "Reason").with_code(code);
            RemoteError::Exec(Box::new(kube::Error::Api(status.boxed())))
        };
        for (error, expected) in [
            (RemoteError::Lost, true),
            (answered(404), true),
            (answered(500), true),
            (answered(400), false),
            (RemoteError::Refused("no".into()), false),
        ] {
            assert_eq!(error.may_pass(), expected, "{error}");
        }
    }
}
