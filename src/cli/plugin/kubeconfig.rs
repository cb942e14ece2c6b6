//! The kubeconfig, where kubectl finds it.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};

use super::refusal::Refusal;

/// The file that is named; else those of KUBECONFIG, merged, but for the ones that are not there; else `~/.kube/config`. `None` when there
/// is none of them.
///
/// # Errors
///
/// [`Refusal::NoCluster`], when one that is there, or that is named, cannot be read.
pub fn read(named: Option<&Path>) -> Result<Option<Kubeconfig>, Refusal> {
    let Some(path) = named else {
        return merged(&paths());
    };
    let read = Kubeconfig::read_from(path);
    read.map(Some).map_err(|error| unusable(path, &error))
}

fn paths() -> Vec<PathBuf> {
    let listed = env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<_> = env::split_paths(&listed)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    let home = env::home_dir().map(|home| home.join(".kube").join("config"));
    home.into_iter().collect()
}

fn merged(paths: &[PathBuf]) -> Result<Option<Kubeconfig>, Refusal> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let next = match Kubeconfig::read_from(path) {
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == io::ErrorKind::NotFound => continue,
            next => next,
        };
        let all = next.and_then(|next| match merged.take() {
            Some(before) => before.merge(next),
            None => Ok(next),
        });
        merged = Some(all.map_err(|error| unusable(path, &error))?);
    }
    Ok(merged)
}

/// The YAML's own error would quote the lines around it, which may hold a token.
fn unusable(path: &Path, error: &KubeconfigError) -> Refusal {
    let why = match error {
        KubeconfigError::Parse(error) => {
            let line = error
                .location()
                .map_or_else(String::new, |at| format!(" in line {}", at.line()));
            format!("`{}` is no kubeconfig{line}", path.display())
        }
        error => error.to_string(),
    };
    Refusal::NoCluster { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n";
    const OTHER: &str = "current-context: b\ncontexts: [{name: b, context: {cluster: b, user: b}}]\n";

    #[test]
    fn files_are_merged_but_for_those_that_are_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("one"), ONE).unwrap();
        std::fs::write(path("other"), OTHER).unwrap();
        let read = merged(&[path("missing"), path("one"), path("other")]).unwrap().unwrap();
        assert_eq!(read.current_context.as_deref(), Some("a"));
        let names: Vec<_> = read.contexts.iter().map(|context| context.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(merged(&[path("missing")]).unwrap().is_none());
        assert!(merged(&[]).unwrap().is_none());
        assert!(super::read(Some(&path("missing"))).is_err());
    }

    #[test]
    fn a_file_that_is_none_is_told_without_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "users:\n- name: a\n  user: {token: secret\ncontexts: []\n").unwrap();
        let error = merged(std::slice::from_ref(&path)).unwrap_err().to_string();
        assert!(error.contains("config` is no kubeconfig in line "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
