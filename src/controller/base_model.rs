//! `spec.server.baseModel`, made sense of before anything is asked of a hub: by its name, and by what the catalog knows. Pure, a part of
//! [`super::validate`].

use super::settings::ModelSettings;
use crate::api::Engine;
use crate::api::reason::Reason;
use crate::api::server::ServerSpec;
use crate::api::wait::Wait;
use crate::engine::architecture::Architecture;
use crate::engine::{self, BaseModel, ModelError, ModelRefusal, refuse_size};

/// Reads the model. One of the catalog may be too large; how large others are, the hub knows.
///
/// # Errors
/// The reason for which no server can have it.
pub(super) fn read(server: &ServerSpec, settings: &ModelSettings) -> Result<BaseModel, Wait> {
    let model =
        BaseModel::read(&settings.catalog, server.engine, &server.base_model).map_err(|error| refuse_name(&error))?;
    if let Some(entry) = model.entry() {
        refuse_size(model.value(), entry.parameters, settings.max_parameters).map_err(|error| refuse(&error))?;
    }
    Ok(model)
}

/// Refuses a model of the catalog that this image is certain not to load.
///
/// # Errors
/// `UnsupportedArchitecture`.
pub(super) fn refuse_architecture(model: &BaseModel, engine: Engine, image: &str) -> Result<(), Wait> {
    let architecture = Architecture {
        model_type: model.entry().and_then(|entry| entry.architecture.as_deref()),
        classes: &[],
    };
    engine::refuse_architecture(engine, image, model.value(), architecture).map_err(|error| refuse(&error))
}

fn refuse_name(error: &ModelError) -> Wait {
    let reason = match error {
        ModelError::NotInCatalog { .. } => Reason::ModelNotFound,
        ModelError::BadRepository { .. } | ModelError::BadPath { .. } => Reason::SpecInvalid,
    };
    Wait::new(reason, format!("spec.server.baseModel: {error}"))
}

fn refuse(refusal: &ModelRefusal) -> Wait {
    Wait::new(refusal.reason(), format!("spec.server.baseModel: {refusal}"))
}
