//! Asks a pod, as `kubectl exec` does.

use bytes::Bytes;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::template::CONTAINER;
use crate::storage::StoreUri;

/// Where the image has the program (Dockerfile).
const PROGRAM: &str = "/usr/local/bin/batch-inference-operator";
/// Of an answer, on its way.
const BUFFER_BYTES: usize = 1 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The API server, or the connection to it.
    #[error("the pod cannot be asked")]
    Exec(#[from] kube::Error),
    /// The connection ended in the middle.
    #[error("the connection to the pod was lost: try again")]
    Lost,
    /// The program in the pod said so.
    #[error("{0}")]
    Refused(String),
    /// The answer is none.
    #[error("the pod's answer is not what this program knows: is the operator's image of another version?")]
    Answer(#[from] serde_json::Error),
}

/// A pod that answers.
#[derive(Clone)]
pub struct Remote {
    pods: Api<Pod>,
    name: String,
    uri: String,
}

impl Remote {
    /// The pod of that name, beside the output at `uri`.
    pub fn new(pods: Api<Pod>, name: &str, uri: &StoreUri) -> Self {
        Self {
            pods,
            name: name.to_owned(),
            uri: uri.to_string(),
        }
    }

    /// Asks for something, in the words of `batch-inference-operator output`.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub async fn ask(&self, words: &[&str]) -> Result<Bytes, RemoteError> {
        let mut command = vec![PROGRAM, "output", "--uri", &self.uri];
        command.extend_from_slice(words);
        let parameters = AttachParams {
            container: Some(CONTAINER.to_owned()),
            max_stdout_buf_size: Some(BUFFER_BYTES),
            ..AttachParams::default()
        };
        let mut process = self.pods.exec(&self.name, command, &parameters).await?;
        let status = process.take_status();
        let (stdout, stderr) = tokio::join!(whole(process.stdout()), whole(process.stderr()));
        let status = match status {
            Some(status) => status.await.ok_or(RemoteError::Lost)?,
            None => return Err(RemoteError::Lost),
        };
        if status.status.as_deref() == Some("Success") {
            return Ok(stdout.into());
        }
        let said = String::from_utf8_lossy(&stderr).trim().to_owned();
        Err(RemoteError::Refused(if said.is_empty() {
            status.message.unwrap_or_default()
        } else {
            said
        }))
    }
}

/// All that comes; a connection that breaks ends it too, and has no status then.
async fn whole(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes).await;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_where_the_image_has_it() {
        let image = include_str!("../../../../Dockerfile");
        assert!(image.contains(&format!("ENTRYPOINT [\"{PROGRAM}\"]")));
    }
}
