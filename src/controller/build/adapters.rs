//! What a server's pod needs to have adapters that are fetched before it starts: an init container, and a volume that both have.

use k8s_openapi::api::core::v1::{Container, SecurityContext, Volume, VolumeMount};

use super::{UNPRIVILEGED_ID, empty_dir, hub, mount, restricted};
use crate::api::names::{ADAPTERS_CONTAINER, ADAPTERS_ENV_PREFIX};
use crate::api::resources::{ComputeDefaults, Resources};
use crate::controller::validate::{ValidatedJob, ValidatedServers};
use crate::controller::{adapters, variables};
use crate::engine::adapters::FETCHED;

const VOLUME: &str = "batch-inference-adapters";

/// The volume that they are put on; none where none are fetched.
pub(super) fn volume(validated: &ValidatedJob, servers: &ValidatedServers) -> Option<(Volume, VolumeMount)> {
    let is_needed = !addresses(validated, servers).is_empty();
    is_needed.then(|| (empty_dir(VOLUME, None, None), mount(VOLUME, FETCHED)))
}

/// Who fetches them: the operator's own image, with the keys of their store. `certificates` are those that it trusts.
pub(super) fn fetcher(
    validated: &ValidatedJob,
    servers: &ValidatedServers,
    certificates: Option<VolumeMount>,
) -> Option<Container> {
    let (_, volume) = volume(validated, servers)?;
    let adapters = servers.spec.adapters.as_ref()?;
    let secret = adapters.credentials_secret_ref.as_ref();
    let keys = secret.map(|secret| variables::keys(ADAPTERS_ENV_PREFIX, &secret.name));
    let arguments = ["fetch-adapters", "--into", FETCHED].map(str::to_owned);
    let env = hub::env(&validated.hub);
    Some(Container {
        name: ADAPTERS_CONTAINER.into(),
        image: Some(servers.operator_image.clone()),
        args: Some(
            arguments
                .into_iter()
                .chain(addresses(validated, servers).iter().map(|address| literal(address)))
                .collect(),
        ),
        env: (!env.is_empty()).then_some(env),
        env_from: keys.map(|keys| vec![keys]),
        resources: Some(resources().into()),
        security_context: Some(SecurityContext {
            run_as_user: Some(UNPRIVILEGED_ID),
            run_as_group: Some(UNPRIVILEGED_ID),
            ..restricted(true)
        }),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        volume_mounts: Some([volume].into_iter().chain(certificates).collect()),
        ..Container::default()
    })
}

fn addresses(validated: &ValidatedJob, servers: &ValidatedServers) -> Vec<String> {
    adapters::fetched(&servers.spec, adapters::told(&validated.job))
}

/// An argument that stays as it is: Kubernetes would put the value of a variable, which may be a key, for `$(NAME)`, which rows may write.
fn literal(argument: &str) -> String {
    argument.replace('$', "$$")
}

/// Pieces of files pass through its memory.
fn resources() -> Resources {
    Resources::default().or_default(&ComputeDefaults {
        cpu: "100m",
        memory: "64Mi",
        memory_limit: "256Mi",
    })
}
