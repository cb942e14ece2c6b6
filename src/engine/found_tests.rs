use super::*;

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// A container; a variable without a value comes from a Secret.
fn found(
    image: &str,
    command: &[&str],
    args: &[&str],
    env: &[(&str, Option<&str>)],
) -> Result<FoundServer, FoundError> {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.map(ToOwned::to_owned)));
    read(&FoundContainer {
        image,
        command: &owned(command),
        args: &owned(args),
        env: &env.collect(),
    })
}

/// What a shell's command comes to: the model and the other options.
fn script(script: &str, env: &[(&str, Option<&str>)]) -> Result<(String, Vec<String>), FoundError> {
    let server = found("any:1", &["/bin/bash", "-c"], &[script], env)?;
    Ok((server.model?, server.args))
}

/// An image, command and arguments; the engine, and the command that is kept.
type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Engine, Option<&'a [&'a str]>);

#[test]
fn the_program_tells_the_engine_and_else_the_image() {
    let cases: &[Case<'_>] = &[
        (
            "own:1",
            &["vllm", "serve"],
            &["m"],
            Engine::VLLM,
            Some(&["vllm", "serve"]),
        ),
        (
            "own:1",
            &["python3", "-m", "vllm.entrypoints.openai.api_server"],
            &["--model", "m"],
            Engine::VLLM,
            Some(&["vllm", "serve"]),
        ),
        (
            "vllm/vllm-openai:v1",
            &[],
            &["--model", "m"],
            Engine::VLLM,
            Some(&["vllm", "serve"]),
        ),
        (
            "reg:5000/mirror/vllm-openai@sha256:a",
            &[],
            &["m"],
            Engine::VLLM,
            Some(&["vllm", "serve"]),
        ),
        (
            "own:1",
            &["lorax-launcher"],
            &["--model-id", "m"],
            Engine::LoRAX,
            Some(&["lorax-launcher"]),
        ),
        (
            "ghcr.io/predibase/lorax:main",
            &[],
            &["--model-id", "m"],
            Engine::LoRAX,
            None,
        ),
        (
            "own:1",
            &["python", "-m", "sglang.launch_server"],
            &["--model", "m"],
            Engine::SGLang,
            Some(&["python", "-m", "sglang.launch_server"]),
        ),
        (
            "own:1",
            &["/app/llama-server"],
            &["-m", "m"],
            Engine::LlamaCpp,
            Some(&["/app/llama-server"]),
        ),
        (
            "ghcr.io/ggml-org/llama.cpp:server-cuda",
            &[],
            &["--model", "m"],
            Engine::LlamaCpp,
            None,
        ),
        (
            "ghcr.io/ggml-org/llama.cpp:full",
            &[],
            &["--server", "-m", "m"],
            Engine::LlamaCpp,
            Some(&["/app/llama-server"]),
        ),
    ];
    for (image, command, args, engine, kept) in cases {
        let server = found(image, command, args, &[]).unwrap_or_else(|error| panic!("{image} {command:?}: {error}"));
        let kept = kept.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(
            (server.engine, server.command, server.model.as_deref()),
            (*engine, kept, Ok("m")),
            "{image} {command:?}"
        );
    }
    for (image, command) in [
        ("tgi:3", &["text-generation-launcher"][..]),
        ("vllm/vllm-openai:v1", &["tini", "--"]),
        ("vllm/vllm-openai:v1", &["env", "-u", "A", "vllm", "serve"]),
        ("lmsysorg/sglang:1", &[]),
        ("vllm/vllm-openai:v1", &["bash"]),
    ] {
        let error = found(image, command, &["x.sh"], &[]).expect_err(image);
        assert!(
            matches!(error, FoundError::Unknown { .. } | FoundError::ScriptFile { .. }),
            "{image}: {error:?}"
        );
    }
}

/// An image, command and arguments; what stays before the server, and the variables that are set for it.
type Wrapped<'a> = (
    &'a str,
    &'a [&'a str],
    &'a [&'a str],
    &'a [&'a str],
    &'a [(&'a str, &'a str)],
);

#[test]
fn a_program_that_starts_the_server_stays_before_it() {
    let serve = ["vllm", "serve"];
    let cases: &[Wrapped<'_>] = &[
        (
            "own:1",
            &["tini", "-g", "--"],
            &["vllm", "serve", "m", "--x"],
            &["tini", "-g", "--"],
            &[],
        ),
        (
            "vllm:1",
            &[],
            &["/usr/bin/tini", "--", "vllm", "serve", "m", "--x"],
            &["/usr/bin/tini", "--"],
            &[],
        ),
        (
            "own:1",
            &["dumb-init", "--"],
            &["bash", "-c", "A=b exec vllm serve m --x"],
            &["dumb-init", "--"],
            &[("A", "b")],
        ),
        (
            "own:1",
            &[
                "bash",
                "-c",
                "exec opentelemetry-instrument --traces_exporter otlp vllm serve m --x",
            ],
            &[],
            &["opentelemetry-instrument", "--traces_exporter", "otlp"],
            &[],
        ),
        (
            "own:1",
            &["/usr/bin/env", "A=b", "C=d", "vllm", "serve"],
            &["m", "--x"],
            &[],
            &[("A", "b"), ("C", "d")],
        ),
        (
            "own:1",
            &[
                "tini",
                "--",
                "env",
                "A=b",
                "python3",
                "-m",
                "vllm.entrypoints.openai.api_server",
            ],
            &["--model", "m", "--x"],
            &["tini", "--"],
            &[("A", "b")],
        ),
        (
            "own:1",
            &["env", "A=m", "sh", "-c", "vllm serve $A --x"],
            &[],
            &[],
            &[("A", "m")],
        ),
        // What the operator decides.
        (
            "own:1",
            &["env", "VLLM_API_KEY=k", "vllm", "serve"],
            &["m", "--x"],
            &[],
            &[],
        ),
    ];
    for (image, command, args, before, env) in cases {
        let server = found(image, command, args, &[]).unwrap_or_else(|error| panic!("{command:?} {args:?}: {error}"));
        assert_eq!(server.model.as_deref(), Ok("m"), "{command:?} {args:?}");
        assert_eq!(server.args, ["--x"], "{command:?} {args:?}");
        assert_eq!(
            server.command,
            Some(owned(&[*before, &serve[..]].concat())),
            "{command:?} {args:?}"
        );
        let env: Vec<_> = env
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(server.env, env, "{command:?} {args:?}");
    }
    let server = found("own:1", &["env", "MODEL_ID=m", "lorax-launcher"], &[], &[]).expect("a server");
    assert_eq!(server.model.as_deref(), Ok("m"));
    assert!(server.env.is_empty(), "{:?}", server.env);
}

#[test]
fn the_name_of_another_program_is_not_taken_for_a_model() {
    for (image, args) in [
        ("vllm/vllm-openai:v1", &["tini"][..]),
        ("vllm/vllm-openai:v1", &["tini", "--", "/start.sh"]),
        ("vllm/vllm-openai:v1", &["ray-start", "vllm", "serve", "m"]),
        ("lorax:1", &["dumb-init", "--", "/start.sh"]),
    ] {
        let error = found(image, &[], args, &[]).expect_err(image);
        assert!(
            matches!(&error, FoundError::Unknown { program, .. } if program == args[0]),
            "{args:?}: {error}"
        );
    }
}

#[test]
fn what_a_job_has_fields_for_is_told_from_what_is_passed_on() {
    let server = found(
        "vllm/vllm-openai:v1",
        &[],
        &[
            "org/model",
            "--served-model-name",
            "a",
            "b",
            "--host",
            "::",
            "--quantization=fp8",
            "--api-key",
            "k",
            "--max-num-seqs",
            "8",
        ],
        &[],
    )
    .expect("a server");
    assert_eq!(server.names, ["a", "b"]);
    assert_eq!(
        (server.model.as_deref(), server.quantization.as_deref()),
        (Ok("org/model"), Some("fp8"))
    );
    assert_eq!(server.args, ["--max-num-seqs", "8"]);
    let server = found(
        "lorax:1",
        &[],
        &["--model-id=m", "--quantize", "bitsandbytes", "-p80"],
        &[],
    );
    assert_eq!(
        server.expect("a server").quantization.as_deref(),
        Some("bitsandbytes-int8")
    );
}

#[test]
fn variables_speak_where_no_option_does() {
    let env = [
        ("MODEL_ID", Some("org/model")),
        ("QUANTIZE", Some("awq")),
        ("PORT", Some("80")),
        ("MAX_INPUT_LENGTH", Some("9")),
    ];
    let server = found("lorax:1", &[], &[], &env).expect("a server");
    assert_eq!(
        (server.model.as_deref(), server.quantization.as_deref()),
        (Ok("org/model"), Some("awq"))
    );
    assert_eq!(server.not_passed_on, ["MODEL_ID", "PORT", "QUANTIZE"]);
    let server = found("lorax:1", &[], &["--model-id", "other/model"], &env).expect("a server");
    assert_eq!(server.model.as_deref(), Ok("other/model"));
    let env = [
        ("LLAMA_ARG_HF_REPO", Some("org/model-GGUF:Q8_0")),
        ("LLAMA_ARG_CTX_SIZE", Some("4096")),
    ];
    let server = found("llama.cpp:server", &[], &[], &env).expect("a server");
    assert_eq!(
        (server.model.as_deref(), server.quantization.as_deref()),
        (Ok("org/model-GGUF"), Some("Q8_0"))
    );
    assert_eq!(server.not_passed_on, ["LLAMA_ARG_HF_REPO"]);
}

#[test]
fn a_model_that_cannot_be_told_is_said_where_it_is_asked_for() {
    let option = |option: &str| FoundError::Option { option: option.into() };
    for (args, env, error) in [
        (&["--model-url", "https://h/m.gguf"][..], &[][..], option("--model-url")),
        (
            &[],
            &[("LLAMA_ARG_DOCKER_REPO", Some("m"))],
            option("LLAMA_ARG_DOCKER_REPO"),
        ),
        (&["--ctx-size", "9"], &[], FoundError::NoModel),
    ] {
        let server = found("llama.cpp:server", &[], args, env).expect("a server");
        assert_eq!(server.model, Err(error), "{args:?} {env:?}");
    }
}

#[test]
fn a_value_is_attached_to_an_option_of_one_letter_only() {
    for (args, kept, quantization) in [
        (&["-tp", "2"][..], &["-tp", "2"][..], None),
        (&["-tp=2", "-pp", "2"], &["-tp", "2", "-pp", "2"], None),
        (&["-qfp8"], &[], Some("fp8")),
        (&["-q", "fp8"], &[], Some("fp8")),
    ] {
        let server = found("vllm/vllm-openai:v1", &["vllm", "serve", "m"], args, &[]).expect("a server");
        assert_eq!(server.args, kept, "{args:?}");
        assert_eq!(server.quantization.as_deref(), quantization, "{args:?}");
    }
}

#[test]
fn variables_that_say_how_a_model_is_spread_or_which_file_it_is_become_arguments() {
    for (image, args, env, kept, file, not_passed_on) in [
        (
            "lorax:1",
            &["--model-id", "m"][..],
            &[("NUM_SHARD", Some("2")), ("SHARDED", Some("true"))][..],
            &["--num-shard", "2", "--sharded", "true"][..],
            &[][..],
            &["NUM_SHARD", "SHARDED"][..],
        ),
        (
            "lorax:1",
            &["--model-id", "m", "--num-shard", "4"],
            &[("NUM_SHARD", Some("2"))],
            &["--num-shard", "4"],
            &[],
            &["NUM_SHARD"],
        ),
        ("lorax:1", &["--model-id", "m"], &[("NUM_SHARD", None)], &[], &[], &[]),
        (
            "lorax:1",
            &["--model-id", "m", "--num-shard", "4"],
            &[("NUM_SHARD", None)],
            &["--num-shard", "4"],
            &[],
            &["NUM_SHARD"],
        ),
        (
            "llama.cpp:server",
            &["-hf", "m"],
            &[("LLAMA_ARG_HF_FILE", Some("m.gguf"))],
            &[],
            &["--hf-file", "m.gguf"],
            &["LLAMA_ARG_HF_FILE"],
        ),
    ] {
        let server = found(image, &[], args, env).expect("a server");
        assert_eq!(
            (&server.args[..], &server.file[..]),
            (&owned(kept)[..], &owned(file)[..])
        );
        assert_eq!(server.not_passed_on, not_passed_on);
    }
}

#[test]
fn kubernetes_fills_in_variables_and_leaves_those_that_it_does_not_know() {
    let env = [("MODEL", Some("org/model")), ("KEY", None)];
    let server = found(
        "vllm:1",
        &[],
        &[
            "--model=$(MODEL)",
            "--x",
            "$(KEY)",
            "--b",
            "$$(MODEL)",
            "--c",
            "$(NONE)",
        ],
        &env,
    );
    let server = server.expect("a server");
    assert_eq!(server.model.as_deref(), Ok("org/model"));
    assert_eq!(server.args, ["--x", "$(KEY)", "--b", "$$(MODEL)", "--c", "$(NONE)"]);
}

#[test]
fn a_shell_s_command_is_read_as_the_shell_does() {
    let env = [("MODEL", Some("org/model")), ("ARGS", Some("--x 1 --b")), ("KEY", None)];
    let cases: &[(&str, &[&str])] = &[
        ("vllm serve org/model --x 1", &["--x", "1"]),
        ("exec vllm serve \"$MODEL\" --x '{\"x\": 1}'", &["--x", "{\"x\": 1}"]),
        ("set -eux; vllm serve ${MODEL} $ARGS", &["--x", "1", "--b"]),
        ("vllm serve ${MODEL} \"$ARGS\"", &["--x 1 --b"]),
        (
            "vllm serve $MODEL --len ${LEN:-4096} --port ${PORT:-80}",
            &["--len", "4096"],
        ),
        (
            "set -x\n\n# the server's start\nvllm serve \\\n  $MODEL \\\n  --x 1  # last\n",
            &["--x", "1"],
        ),
        ("LEN=9 vllm serve $MODEL", &[]),
        ("export LEN=9 && vllm serve $MODEL --len $LEN", &["--len", "9"]),
        ("vllm serve $MODEL --secret $KEY", &["--secret", "$(KEY)"]),
        ("vllm serve $MODEL --regex '^$x$'", &["--regex", "^$x$"]),
        ("python3 -m vllm.entrypoints.openai.api_server --model $MODEL", &[]),
    ];
    for (command, args) in cases {
        let read = script(command, &env).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(
            (read.0.as_str(), read.1.as_slice()),
            (
                "org/model",
                &args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>()[..]
            ),
            "{command}"
        );
    }
}

#[test]
fn what_a_shell_does_beside_the_server_is_refused_by_name() {
    let shell = |word: &str| FoundError::Shell { word: word.into() };
    let program = |program: &str| FoundError::OtherProgram {
        program: program.into(),
    };
    for (command, error) in [
        ("pip install x && vllm serve m", program("pip")),
        ("vllm serve m; sleep 5", program("sleep")),
        ("vllm serve m | tee log", shell("|")),
        ("vllm serve m > log", shell(">")),
        ("vllm serve m&", shell("m&")),
        ("vllm serve `cat model`", shell("`cat")),
        ("vllm serve m 2>&1", shell("2>&1")),
        ("if true; then vllm serve m; fi", shell("if")),
        ("vllm serve $(cat model)", shell("$(cat")),
        ("vllm serve m \"$@\"", shell("$@")),
        ("vllm serve $MODEL", FoundError::Variable { name: "MODEL".into() }),
        ("vllm serve 'm", FoundError::Quotes),
    ] {
        assert_eq!(script(command, &[]), Err(error), "{command}");
    }
    let error = found("any:1", &["bash", "/start.sh"], &[], &[]);
    assert_eq!(
        error,
        Err(FoundError::ScriptFile {
            script: "/start.sh".into()
        })
    );
}
