//! Variables of containers. Pure.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, SecretEnvSource, SecretKeySelector};

/// One with a value.
pub(super) fn value(name: impl Into<String>, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: Some(value.into()),
        value_from: None,
    }
}

/// One that is filled from a Secret's key. While that is missing, kubelet does not start the container, unless it is `optional`.
pub(super) fn key(name: &str, secret: &str, key: &str, optional: Option<bool>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: key.to_owned(),
                optional,
            }),
            ..EnvVarSource::default()
        }),
        value: None,
    }
}

/// All keys of a Secret, each with a prefix.
pub(super) fn keys(prefix: &str, secret: &str) -> EnvFromSource {
    EnvFromSource {
        prefix: Some(prefix.to_owned()),
        secret_ref: Some(SecretEnvSource {
            name: secret.to_owned(),
            optional: None,
        }),
        config_map_ref: None,
    }
}

/// Puts one in the place of any other of its name, behind all that it may refer to.
pub(super) fn set(variables: &mut Vec<EnvVar>, variable: EnvVar) {
    variables.retain(|earlier| earlier.name != variable.name);
    variables.push(variable);
}
