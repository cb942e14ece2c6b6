//! What a fake server is told at its start: arguments as the real server's, and `FAKE_...` variables for the rest.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::flags::{Flags, Given, Refusal};

/// The program that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Vllm,
    Lorax,
    Sglang,
    LlamaServer,
}

/// When vLLM takes adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoraLoading {
    AtStart,
    AtRunTime,
}

/// What there is an answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Every endpoint.
    Both,
    /// No embeddings: llama-server without `--embeddings`.
    Text,
    /// No text, and no path for it, as a server of an embedding model. For tests.
    Embeddings,
}

/// How the server behaves where a row does not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `FAKE_ENGINE`: `vllm`, `lorax`, `sglang` or `llama-server`. Default: the one whose arguments begin so.
    pub program: Program,
    /// From the arguments `--host` and `--port`, with the program's own defaults.
    pub address: SocketAddr,
    /// The names of the base model, the one that answers carry first.
    pub names: Vec<String>,
    /// Whether `/metrics` answers.
    pub metrics: bool,
    /// What it answers with.
    pub serves: Serves,
    /// Whether it has adapters: `--enable-lora`.
    pub has_lora: bool,
    /// `VLLM_ALLOW_RUNTIME_LORA_UPDATING`: when vLLM takes them.
    pub lora_loading: LoraLoading,
    /// So many requests to load an adapter fail in vLLM's worker, as where its hub breaks off.
    pub lora_failures: usize,
    /// The files that llama-server has from its start on.
    pub lora_files: Vec<String>,
    /// `FAKE_ADAPTERS`: where there are adapters, with commas between. Default: nowhere.
    pub adapters: BTreeSet<String>,
    /// `FAKE_LATENCY_MS`: how long each answer takes. Default: 0.
    pub latency: Duration,
    /// `FAKE_LOADING_SECONDS`: how long the model is loaded. Default: 0.
    pub loading: Duration,
    /// `FAKE_SLOTS`: how many requests are worked on at a time; others queue. Default: all.
    pub slots: usize,
    /// More at a time are turned away: `--max-concurrent-requests` of LoRAX, `--max-running-requests` and `--max-queued-requests` of SGLang
    /// together.
    pub most_requests: Option<usize>,
    /// `FAKE_CRASH_SECONDS`: how long nobody listens after a crash. Default: 1.
    pub crash: Duration,
    /// From `--api-key`: rows must come with one of these. Any may come where there is none.
    pub api_keys: Vec<String>,
    /// `FAKE_STATUS`: every row is answered with this status.
    pub status: Option<u16>,
    /// `FAKE_RECORDER`: a [`super::Recorder`]'s URL, which is told of every request before it is answered.
    pub recorder: Option<String>,
    /// `POD_NAME`, else `HOSTNAME`: how the recorder knows this server.
    pub pod: String,
}

impl Settings {
    /// Reads arguments (without the program's name) and environment.
    pub fn read(args: &[String], env: impl Fn(&str) -> Option<String>) -> Result<Self, Refusal> {
        let program = match env("FAKE_ENGINE").as_deref() {
            Some("vllm") => Program::Vllm,
            Some("lorax") => Program::Lorax,
            Some("sglang") => Program::Sglang,
            Some("llama-server") => Program::LlamaServer,
            Some(other) => {
                let message = format!("FAKE_ENGINE is {other:?}, not vllm, lorax, sglang or llama-server");
                return Err(bad(message));
            }
            None => match args.first().map(String::as_str) {
                Some("--model-id") => Program::Lorax,
                Some("--model-path") => Program::Sglang,
                Some(arg) if !arg.starts_with('-') => Program::Vllm,
                _ => Program::LlamaServer,
            },
        };
        let number = |name: &str| env(name).map(|value| parse(name, &value)).transpose();
        let mut settings = match program {
            Program::Vllm => vllm(&Flags::vllm().read(args)?)?,
            Program::Lorax => lorax(&Flags::lorax().read(args)?)?,
            Program::Sglang => sglang(&Flags::sglang().read(args)?)?,
            Program::LlamaServer => llama_server(&Flags::llama_server().read(args)?)?,
        };
        settings.latency = Duration::from_millis(number("FAKE_LATENCY_MS")?.unwrap_or(0));
        settings.loading = Duration::from_secs(number("FAKE_LOADING_SECONDS")?.unwrap_or(0));
        settings.crash = Duration::from_secs(number("FAKE_CRASH_SECONDS")?.unwrap_or(1));
        if let Some(slots) = env("FAKE_SLOTS") {
            settings.slots = parse("FAKE_SLOTS", &slots)?;
        }
        settings.status = env("FAKE_STATUS")
            .map(|value| parse("FAKE_STATUS", &value))
            .transpose()?;
        settings.recorder = env("FAKE_RECORDER");
        if env("VLLM_ALLOW_RUNTIME_LORA_UPDATING").is_some_and(|value| value == "1") {
            settings.lora_loading = LoraLoading::AtRunTime;
        }
        let adapters = env("FAKE_ADAPTERS").unwrap_or_default();
        settings.adapters = adapters
            .split(',')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect();
        settings.pod = env("POD_NAME").or_else(|| env("HOSTNAME")).unwrap_or_default();
        Ok(settings)
    }

    /// For tests: reads arguments, and listens on a free port of this machine.
    pub fn local(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut settings = Self::read(&args, |_| None).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        settings.address = ([127, 0, 0, 1], 0).into();
        settings
    }

    fn new(program: Program, address: SocketAddr, names: Vec<String>) -> Self {
        Self {
            program,
            address,
            names,
            metrics: true,
            serves: Serves::Both,
            has_lora: false,
            lora_loading: LoraLoading::AtStart,
            lora_failures: 0,
            lora_files: Vec::new(),
            adapters: BTreeSet::new(),
            latency: Duration::ZERO,
            loading: Duration::ZERO,
            slots: Semaphore::MAX_PERMITS,
            most_requests: None,
            crash: Duration::from_secs(1),
            api_keys: Vec::new(),
            status: None,
            recorder: None,
            pod: String::new(),
        }
    }
}

fn vllm(given: &Given) -> Result<Settings, Refusal> {
    if let Some(second) = given.positional.get(1) {
        return Err(Refusal {
            message: format!("vllm serve: error: unrecognized arguments: {second}"),
            exit_code: 2,
        });
    }
    let model = given
        .positional
        .first()
        .map(String::as_str)
        .or(given.value("--model"))
        .ok_or_else(|| bad("vllm serve: error: no model is given".to_owned()))?;
    let names = match given.options.get("--served-model-name") {
        Some(names) => names.clone(),
        None => vec![model.to_owned()],
    };
    let listen = address(given, "--host", "0.0.0.0", 8000)?;
    let mut settings = Settings::new(Program::Vllm, listen, names);
    settings.api_keys = given.options.get("--api-key").cloned().unwrap_or_default();
    settings.has_lora = given.has("--enable-lora");
    Ok(settings)
}

fn lorax(given: &Given) -> Result<Settings, Refusal> {
    // The launcher has a default model, which no test means.
    let model = given
        .value("--model-id")
        .ok_or_else(|| bad("no model is given".to_owned()))?;
    let listen = address(given, "--hostname", "0.0.0.0", 3000)?;
    let mut settings = Settings::new(Program::Lorax, listen, vec![model.to_owned()]);
    settings.most_requests = Some(count(given, "--max-concurrent-requests")?.unwrap_or(1024));
    Ok(settings)
}

fn sglang(given: &Given) -> Result<Settings, Refusal> {
    let model = given.value("--model-path").ok_or_else(|| Refusal {
        message: "sglang serve: error: the following arguments are required: --model-path/--model".to_owned(),
        exit_code: 2,
    })?;
    let name = given.value("--served-model-name").unwrap_or(model);
    let listen = address(given, "--host", "127.0.0.1", 30000)?;
    let mut settings = Settings::new(Program::Sglang, listen, vec![name.to_owned()]);
    settings.slots = count(given, "--max-running-requests")?.unwrap_or(settings.slots);
    let queued = count(given, "--max-queued-requests")?;
    settings.most_requests = queued.map(|queued| settings.slots.saturating_add(queued));
    settings.metrics = given.has("--enable-metrics");
    settings.has_lora = given.has("--enable-lora");
    Ok(settings)
}

fn llama_server(given: &Given) -> Result<Settings, Refusal> {
    let model = given
        .value("--model")
        .or(given.value("--hf-repo"))
        .ok_or_else(|| bad("error: no model is given".to_owned()))?;
    // The aliases are kept sorted, and answers carry the first (llama.cpp 0.7.0).
    let mut names: Vec<String> = given
        .value("--alias")
        .unwrap_or(model)
        .split(',')
        .map(str::to_owned)
        .collect();
    names.sort();
    let mut settings = Settings::new(
        Program::LlamaServer,
        address(given, "--host", "127.0.0.1", 9931)?,
        names,
    );
    settings.metrics = given.has("--metrics");
    if !given.has("--embeddings") {
        settings.serves = Serves::Text;
    }
    let files = given
        .value("--lora-scaled")
        .into_iter()
        .flat_map(|files| files.split(','));
    settings.lora_files = files.map(|file| file.trim_end_matches(":0").to_owned()).collect();
    Ok(settings)
}

fn address(given: &Given, option: &str, host: &str, port: u16) -> Result<SocketAddr, Refusal> {
    let host: IpAddr = parse(option, given.value(option).unwrap_or(host))?;
    let port = match given.value("--port") {
        Some(port) => parse("--port", port)?,
        None => port,
    };
    Ok((host, port).into())
}

fn count(given: &Given, option: &str) -> Result<Option<usize>, Refusal> {
    given.value(option).map(|value| parse(option, value)).transpose()
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Refusal> {
    value
        .parse()
        .map_err(|_| bad(format!("error: {name} has the value {value:?}")))
}

fn bad(message: String) -> Refusal {
    Refusal { message, exit_code: 1 }
}
