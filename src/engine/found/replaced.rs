//! A server that was found, less what a job says in fields of its own.

use super::FoundServer;
use crate::engine::spelling::{Reader, without};
use crate::engine::{Engine, adapters, devices};

/// By this option an engine quantizes what it loads, in this format (`vllm/config/load.py`; sglang,
/// `sglang/srt/configs/load_config.py`).
const LOAD_FORMAT: &str = "--load-format";
const BITS_AND_BYTES: &str = "bitsandbytes";
const LOADS_QUANTIZED: [Engine; 2] = [Engine::VLLM, Engine::SGLang];

/// What a job has fields for in place of arguments and variables that are passed on otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// How the model is spread over devices.
    Devices,
    /// Which adapters there are, and what of them a server has room for.
    Adapters,
    /// Which revision of its repository the model is.
    Revision,
    /// How weights are quantized when they are loaded.
    Quantization,
    /// The type of numbers, where it cannot stand beside a quantization.
    NumberType,
}

impl Part {
    /// The options that are about it, and the variables.
    fn names(self, engine: Engine) -> (Vec<&'static str>, Vec<&'static str>) {
        match self {
            // The launcher derives one from the other (predibase/lorax, `launcher/src/main.rs`).
            Self::Devices if engine == Engine::LoRAX => (devices::options(engine), vec!["NUM_SHARD", "SHARDED"]),
            Self::Devices => (devices::options(engine), Vec::new()),
            Self::Adapters => {
                let (named, naming) = adapters::own_options(engine);
                let (limits, limiting) = adapters::limits(engine);
                ([named, limits].concat(), [naming, limiting].concat())
            }
            // As options, both are a job's fields already.
            Self::Revision if engine == Engine::LoRAX => (Vec::new(), vec!["REVISION"]),
            Self::Quantization if engine == Engine::LoRAX => (Vec::new(), vec!["QUANTIZE"]),
            Self::Quantization if LOADS_QUANTIZED.contains(&engine) => (vec![LOAD_FORMAT], Vec::new()),
            // predibase/lorax, `server/lorax_server/cli.py`: "Only 1 can be set between `dtype` and `quantize`".
            Self::NumberType if engine == Engine::LoRAX => (vec!["--dtype"], vec!["DTYPE"]),
            Self::Revision | Self::Quantization | Self::NumberType => (Vec::new(), Vec::new()),
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
        // Every other format is one of files, not of weights.
        let is_other_format = || reader.value(&self.args, &[LOAD_FORMAT]) != Some(BITS_AND_BYTES);
        if part == Part::Quantization && LOADS_QUANTIZED.contains(&self.engine) && is_other_format() {
            return self;
        }
        let (options, variables) = part.names(self.engine);
        let is_one = |written: &str| options.iter().any(|name| reader.is_spelling(written, name));
        self.args = without(self.args, is_one);
        self.env.retain(|(name, _)| !variables.contains(&name.as_str()));
        self.not_passed_on
            .extend(variables.iter().map(|name| (*name).to_owned()));
        self
    }
}
