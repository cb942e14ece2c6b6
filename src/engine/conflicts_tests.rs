use super::*;

fn found(engine: Engine, args: &[&str], env: &[&str]) -> Option<Conflict> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    conflict(
        engine,
        &Given {
            args: &args,
            env,
            place: Place::Env,
            token_env: &[],
            quantization: None,
            devices: Devices::Counted(2),
        },
    )
}

#[test]
fn an_argument_that_says_what_a_field_says_is_refused_in_every_spelling() {
    for (engine, args, subject) in [
        (Engine::VLLM, &["--model", "org/other"][..], Subject::BaseModel),
        (Engine::VLLM, &["--revision", "main"], Subject::Revision),
        (Engine::VLLM, &["--revis=main"], Subject::Revision),
        (Engine::LoRAX, &["--revision=main"], Subject::Revision),
        (Engine::SGLang, &["--revision", "main"], Subject::Revision),
        (Engine::VLLM, &["--served-model-name", "a", "b"], Subject::Names),
        (Engine::VLLM, &["--served_model_name=a"], Subject::Names),
        (Engine::VLLM, &["--served", "a"], Subject::Names),
        (Engine::VLLM, &["--seed", "1", "--port=9000"], Subject::Address),
        (Engine::VLLM, &["--host", "::"], Subject::Address),
        (Engine::VLLM, &["--quantization", "fp8"], Subject::Quantization),
        (Engine::VLLM, &["-q", "fp8"], Subject::Quantization),
        (Engine::VLLM, &["-qfp8"], Subject::Quantization),
        (Engine::VLLM, &["-q=fp8"], Subject::Quantization),
        (Engine::VLLM, &["--tensor-parallel-size", "4"], Subject::Devices),
        (Engine::VLLM, &["-tp=1"], Subject::Devices),
        (Engine::LoRAX, &["--num-shard=1"], Subject::Devices),
        (Engine::SGLang, &["--tp-size", "4"], Subject::Devices),
        (Engine::SGLang, &["--tensor_parallel_size", "1"], Subject::Devices),
        (Engine::VLLM, &["--hf_token", "x"], Subject::Token),
        (Engine::VLLM, &["--api-key", "x"], Subject::ApiKey),
        (Engine::VLLM, &["--ssl-keyfile", "x"], Subject::Tls),
        (Engine::LoRAX, &["--model-id=org/other"], Subject::BaseModel),
        (Engine::LoRAX, &["--quantize", "eetq"], Subject::Quantization),
        (Engine::LoRAX, &["--hostname", "::"], Subject::Address),
        (Engine::LoRAX, &["-p", "80"], Subject::Address),
        (Engine::LoRAX, &["-p80"], Subject::Address),
        (Engine::SGLang, &["--model", "org/other"], Subject::BaseModel),
        (Engine::SGLang, &["--model-path", "org/other"], Subject::BaseModel),
        (Engine::SGLang, &["--served-model-name=a"], Subject::Names),
        (Engine::SGLang, &["--port", "1"], Subject::Address),
        (Engine::SGLang, &["--quantization", "fp8"], Subject::Quantization),
        (Engine::SGLang, &["--api-key=x"], Subject::ApiKey),
        (Engine::LlamaCpp, &["-m", "/other.gguf"], Subject::BaseModel),
        (Engine::LlamaCpp, &["--gpt-oss-20b-default"], Subject::BaseModel),
        (Engine::LlamaCpp, &["--hf_repo", "org/other"], Subject::BaseModel),
        (Engine::LlamaCpp, &["-hf", "org/other"], Subject::BaseModel),
        (Engine::LlamaCpp, &["-a", "x"], Subject::Names),
        (Engine::LlamaCpp, &["--alias", "x"], Subject::Names),
        (Engine::LlamaCpp, &["--port", "1"], Subject::Address),
        (Engine::LlamaCpp, &["-hft", "x"], Subject::Token),
        (Engine::LlamaCpp, &["--api-key", "x"], Subject::ApiKey),
    ] {
        let argument = args.iter().find(|arg| arg.starts_with('-') && **arg != "--seed");
        let argument = argument
            .expect("an option")
            .split('=')
            .next()
            .expect("a name")
            .to_owned();
        assert_eq!(
            found(engine, args, &[]),
            Some(Conflict::Argument { argument, subject }),
            "{engine} {args:?}"
        );
    }
}

#[test]
fn other_arguments_pass() {
    for (engine, args) in [
        (Engine::VLLM, &["--max-model-len", "8192", "-tp", "2"][..]),
        (Engine::VLLM, &["-tp", "1", "--pipeline-parallel-size", "2"]),
        (Engine::SGLang, &["--tp-size=2"]),
        (Engine::VLLM, &["--quantization-config", "{}"]),
        (Engine::VLLM, &["--tokenizer", "--", "-"]),
        (
            Engine::LoRAX,
            &["--max-total-tokens=8192", "--quant", "--num-shard", "2"],
        ),
        (
            Engine::SGLang,
            &["--context-length", "8192", "--quantization-param-path", "x"],
        ),
        (Engine::LlamaCpp, &["-c", "8192", "-ngl", "20", "-hff", "x.gguf", "-ma"]),
        (Engine::Custom, &["serve", "--model", "x", "--port", "1"]),
    ] {
        assert_eq!(found(engine, args, &[]), None, "{engine} {args:?}");
    }
}

#[test]
fn an_argument_at_the_front_that_is_no_option_is_refused() {
    for engine in [Engine::VLLM, Engine::LoRAX, Engine::SGLang, Engine::LlamaCpp] {
        assert_eq!(
            found(engine, &["serve", "org/model"], &[]),
            Some(Conflict::Positional {
                argument: "serve".into()
            })
        );
    }
}

#[test]
fn a_variable_that_says_what_a_field_says_is_refused() {
    for (engine, variable, subject) in [
        (Engine::VLLM, "VLLM_API_KEY", Subject::ApiKey),
        (Engine::LoRAX, "MODEL_ID", Subject::BaseModel),
        (Engine::LoRAX, "REVISION", Subject::Revision),
        (Engine::LoRAX, "PORT", Subject::Address),
        (Engine::LoRAX, "QUANTIZE", Subject::Quantization),
        (Engine::LoRAX, "NUM_SHARD", Subject::Devices),
        (Engine::LlamaCpp, "LLAMA_ARG_HF_REPO", Subject::BaseModel),
        (Engine::LlamaCpp, "LLAMA_ARG_HF_FILE", Subject::FileVariable),
        (Engine::LlamaCpp, "LLAMA_ARG_ALIAS", Subject::Names),
        (Engine::LlamaCpp, "LLAMA_API_KEY", Subject::ApiKey),
    ] {
        assert_eq!(
            found(engine, &[], &["LEVEL", variable]),
            Some(Conflict::Variable {
                place: Place::Env,
                variable: variable.into(),
                subject
            })
        );
    }
    for engine in Engine::ALL {
        assert_eq!(
            found(engine, &[], &["HF_TOKEN", "HF_HOME", "LOG_LEVEL"]),
            None,
            "{engine}"
        );
    }
}

#[test]
fn the_token_is_said_once() {
    for engine in Engine::ALL {
        let given = Given {
            args: &[],
            env: &["HF_TOKEN"],
            place: Place::Env,
            token_env: &["HF_TOKEN"],
            quantization: None,
            devices: Devices::Counted(2),
        };
        let message = conflict(engine, &given).expect("a conflict").to_string();
        assert_eq!(
            message,
            "spec.server.env has HF_TOKEN: name the token's Secret in spec.server.hfTokenSecretRef, and nowhere else"
        );
    }
}

#[test]
fn the_file_of_a_repository_is_chosen_once() {
    let args = ["--hf-file".to_owned(), "x.gguf".to_owned()];
    let given = Given {
        args: &args,
        env: &[],
        place: Place::Env,
        token_env: &[],
        quantization: Some("Q4_K_M"),
        devices: Devices::Counted(2),
    };
    assert_eq!(
        conflict(Engine::LlamaCpp, &given),
        Some(Conflict::Argument {
            argument: "--hf-file".into(),
            subject: Subject::File
        })
    );
}

#[test]
fn no_value_stands_in_a_message() {
    let conflict = found(Engine::VLLM, &["--hf-token=hf_secret"], &[]).expect("a conflict");
    assert_eq!(
        conflict.to_string(),
        "spec.server.args has \"--hf-token\": name the token's Secret in spec.server.hfTokenSecretRef, and nowhere else"
    );
}

/// A person says it where nothing else does: on processors, and with devices of resource claims.
#[test]
fn how_a_model_is_spread_is_a_person_s_where_no_device_is_counted() {
    let args = ["--tensor-parallel-size".to_owned(), "4".to_owned()];
    for devices in [Devices::Counted(0), Devices::Claimed] {
        let given = Given {
            args: &args,
            env: &[],
            place: Place::Env,
            token_env: &[],
            quantization: None,
            devices,
        };
        assert_eq!(conflict(Engine::VLLM, &given), None, "{devices:?}");
    }
}

const LLAMA_SERVER_HELP: &str = include_str!("../../tests/fake-model-server/llama-server-help.txt");

/// Options of models, addresses and keys that are a person's: of no model, or of one beside that of the rows.
const A_PERSON_S: [&str; 9] = [
    "--hf-repo-draft",
    "--model-draft",
    "--models-autoload",
    "--models-max",
    "--no-host",
    "--no-models-autoload",
    "--reuse-port",
    "--spec-default",
    "--spec-draft-model",
];

/// The long names of all options whose names are about a model, an address or a key, or end as presets do.
fn options_about_fields() -> Vec<&'static str> {
    let words = ["model", "hf-", "repo", "host", "port", "api-", "ssl-", "alias"];
    let lines = LLAMA_SERVER_HELP.lines().filter(|line| line.starts_with('-'));
    let names = lines.flat_map(|line| {
        let parts = line.split([',', ' ']).filter(|part| !part.is_empty());
        parts.take_while(|part| part.starts_with('-'))
    });
    let long = names.filter(|name| name.starts_with("--") && !name.ends_with('-'));
    long.filter(|name| {
        let is_preset = name.ends_with("-default") || name.ends_with("-spec");
        is_preset || words.iter().any(|word| name.contains(word))
    })
    .collect()
}

#[test]
fn every_option_of_llama_server_about_a_model_an_address_or_a_key_is_known() {
    let options = options_about_fields();
    assert!(options.len() > 25, "{options:?}");
    for option in options {
        let is_refused = subject_of_option(Engine::LlamaCpp, option).is_some();
        assert!(is_refused || A_PERSON_S.contains(&option), "{option}");
    }
}

#[test]
fn an_argument_behind_a_whole_option_is_no_value() {
    let positional = |argument: &str| {
        Some(Conflict::Positional {
            argument: argument.into(),
        })
    };
    for (engine, args, expected) in [
        (Engine::VLLM, &["--seed=1", "org/other"][..], positional("org/other")),
        (Engine::LoRAX, &["--max-total-tokens=8192", "x"], positional("x")),
        (Engine::VLLM, &["--seed", "1", "--max-num-seqs=8"], None),
        (Engine::LlamaCpp, &["--override-kv", "a=int:1", "-c", "8192"], None),
    ] {
        assert_eq!(found(engine, args, &[]), expected, "{engine} {args:?}");
    }
}

#[test]
fn beside_some_quantizations_weights_are_not_loaded_in_another_way() {
    for (engine, quantization, args, env, is_refused) in [
        (
            Engine::SGLang,
            Some("bitsandbytes-nf4"),
            &["--load-format", "auto"][..],
            &[][..],
            true,
        ),
        (Engine::SGLang, Some("fp8"), &["--load-format", "auto"], &[], false),
        (Engine::SGLang, None, &["--load-format", "auto"], &[], false),
        (Engine::LoRAX, Some("eetq"), &["--dtype", "float16"], &[], true),
        (Engine::LoRAX, Some("eetq"), &[], &["DTYPE"], true),
        (Engine::LoRAX, Some("none"), &["--dtype", "float16"], &[], false),
        (Engine::LoRAX, None, &["--dtype", "float16"], &[], false),
    ] {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let given = Given {
            args: &args,
            env,
            place: Place::Env,
            token_env: &[],
            quantization,
            devices: Devices::Counted(1),
        };
        let found = conflict(engine, &given);
        let is_found = matches!(found, Some(Conflict::BesideQuantization { .. }));
        assert_eq!(
            (is_found, found.is_some()),
            (is_refused, is_refused),
            "{engine} {args:?} {env:?}"
        );
    }
}
