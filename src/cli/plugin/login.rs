//! Why a kubeconfig does not log a person in. What a login program writes may be a credential, and its command may have one in a variable:
//! neither is told. Pure.

use std::error::Error as StdError;

use kube::client::AuthError;

/// What kept a person from being logged in, if that is what an error comes from.
#[must_use]
pub fn failure(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut chain = std::iter::successors(Some(error), |error| (**error).source());
    chain.find_map(|error| error.downcast_ref::<AuthError>()).map(why)
}

fn why(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said: Vec<_> = said.split_whitespace().collect();
            let ended = format!("its login program ended with {}", out.status);
            if said.is_empty() {
                return ended;
            }
            format!("{ended}: {}", said.join(" "))
        }
        AuthError::AuthExecStart(error) => format!("its login program cannot be started: {error}"),
        // Their texts quote what was read.
        AuthError::AuthExecParse(_) | AuthError::ParseTokenKey(_) => {
            "what its login program answers is no credential".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use super::*;

    fn ended(stderr: &str) -> AuthError {
        let out = Output {
            status: ExitStatus::from_raw(1 << 8),
            stdout: b"token".to_vec(),
            stderr: stderr.into(),
        };
        AuthError::AuthExecRun {
            cmd: "PASSWORD=\"secret\" \"login\"".into(),
            out: Box::new(out),
        }
    }

    #[test]
    fn a_login_program_is_told_without_what_may_be_a_credential() {
        for (error, expected) in [
            (ended(""), "its login program ended with exit status: 1"),
            (
                ended("the session\nis over\n"),
                "its login program ended with exit status: 1: the session is over",
            ),
            (
                AuthError::AuthExecStart(io::ErrorKind::NotFound.into()),
                "its login program cannot be started: entity not found",
            ),
            (
                AuthError::ParseTokenKey(serde_json::from_str::<bool>("\"token\"").unwrap_err()),
                "what its login program answers is no credential",
            ),
        ] {
            assert_eq!(why(&error), expected);
        }
    }

    #[test]
    fn a_login_that_fails_is_found_wherever_it_is() {
        let at_once = kube::Error::Auth(ended(""));
        let later = kube::Error::Service(Box::new(ended("")));
        for error in [at_once, later] {
            assert!(failure(&error).is_some(), "{error:?}");
        }
        assert_eq!(failure(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
