//! Which volumes of a Deployment's pod its server needs.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume, VolumeMount};

use super::Problem;
use super::caches::moved;
use crate::api::server::ServerSpec;
use crate::engine::found::FoundServer;

/// The volumes of the server that hold something, or that it is told to write to, with where they are mounted. Any other `emptyDir` is
/// left out: the operator has its own for caches, temporary files and shared memory.
///
/// # Errors
/// When something else fills one that they need.
pub(super) fn kept(
    pod: &PodSpec,
    container: &Container,
    found: &FoundServer,
    given: &ServerSpec,
) -> Result<(Vec<Volume>, Vec<VolumeMount>), Problem> {
    let volumes = pod.volumes.as_deref().unwrap_or_default();
    let mounts = container.volume_mounts.as_deref().unwrap_or_default();
    let is_mounted = |volume: &Volume| mounts.iter().any(|mount| mount.name == volume.name);
    for mount in mounts.iter().filter(|mount| needs(given, mount)) {
        let mut empty = volumes.iter().filter(|volume| volume.empty_dir.is_some());
        let is_empty = empty.any(|volume| volume.name == mount.name);
        if let Some(first) = filled_by(pod, &mount.name).filter(|_| is_empty) {
            return Err(Problem::FilledFirst {
                container: first.name.clone(),
                volume: mount.name.clone(),
            });
        }
    }
    let kept: Vec<Volume> = volumes
        .iter()
        .filter(|volume| is_mounted(volume))
        .filter(|volume| volume.empty_dir.is_none() || is_named(&volume.name, container, found))
        .cloned()
        .collect();
    let mounts = mounts
        .iter()
        .filter(|mount| kept.iter().any(|volume| volume.name == mount.name));
    let mounts = mounts.cloned().map(|mount| VolumeMount {
        mount_path: moved(found.engine, mount.mount_path),
        ..mount
    });
    let mounts = mounts.collect();
    Ok((kept, mounts))
}

/// Whether servers may need what is mounted here: not where the job names a model that is elsewhere.
fn needs(given: &ServerSpec, mount: &VolumeMount) -> bool {
    given.base_model.is_empty() || Path::new(&given.base_model).starts_with(&mount.mount_path)
}

/// Whether a variable or an option says a path in a volume: as any user but root, a server could not write there without it.
fn is_named(volume: &str, container: &Container, found: &FoundServer) -> bool {
    let variables = container.env.iter().flatten();
    let values = variables.filter_map(|variable| variable.value.as_deref());
    let options = found
        .args
        .iter()
        .map(|word| word.split_once('=').map_or(word.as_str(), |(_, value)| value));
    let said: Vec<&str> = values.chain(options).collect();
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| mount.name == volume && said.iter().any(|path| Path::new(path).starts_with(&mount.mount_path)))
}

/// The init container that has a volume, too.
fn filled_by<'a>(pod: &'a PodSpec, volume: &str) -> Option<&'a Container> {
    let mut first = pod.init_containers.iter().flatten();
    first.find(|container| {
        container
            .volume_mounts
            .iter()
            .flatten()
            .any(|mount| mount.name == volume)
    })
}
