//! A server that was found, less what a job says in fields of its own.

use super::FoundServer;
use crate::engine::spelling::{Reader, without};
use crate::engine::{Engine, adapters, devices};

/// What a job has fields for in place of arguments and variables that are passed on otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// How the model is spread over devices.
    Devices,
    /// Which adapters there are.
    Adapters,
}

impl Part {
    /// The options that are about it, and the variables.
    fn names(self, engine: Engine) -> (Vec<&'static str>, &'static [&'static str]) {
        match self {
            // The launcher derives one from the other (predibase/lorax, `launcher/src/main.rs`).
            Self::Devices if engine == Engine::LoRAX => (devices::options(engine), &["NUM_SHARD", "SHARDED"]),
            Self::Devices => (devices::options(engine), &[]),
            Self::Adapters => {
                let (options, variables) = adapters::own_options(engine);
                (options.to_vec(), variables)
            }
        }
    }
}

impl FoundServer {
    /// The server without what its arguments and variables say of a part.
    #[must_use]
    pub fn without(mut self, part: Part) -> Self {
        let Some(reader) = Reader::of(self.engine) else {
            return self;
        };
        let (options, variables) = part.names(self.engine);
        let is_one = |written: &str| options.iter().any(|name| reader.is_spelling(written, name));
        self.args = without(self.args, is_one);
        self.env.retain(|(name, _)| !variables.contains(&name.as_str()));
        self.not_passed_on
            .extend(variables.iter().map(|name| (*name).to_owned()));
        self
    }
}
