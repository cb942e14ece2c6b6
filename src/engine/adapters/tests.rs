use super::*;

/// As found for servers of an image.
fn found(engine: Engine, image: &str, count: u32, max_rank: Option<u32>) -> FoundAdapters {
    FoundAdapters {
        count,
        max_rank,
        paths: vec!["/a/x.gguf".into(), "/a/y.gguf".into()],
        version: Version::of(engine, image),
        devices: Devices::Counted(1),
    }
}

#[test]
fn each_engine_has_options_of_its_own() {
    for (engine, (count, max_rank), expected) in [
        (
            Engine::VLLM,
            (2, Some(16)),
            "--enable-lora --max-loras 2 --max-cpu-loras 64 --max-lora-rank 16 --api-server-count 1",
        ),
        (
            Engine::VLLM,
            (20, Some(33)),
            "--enable-lora --max-loras 8 --max-cpu-loras 64 --max-lora-rank 64 --api-server-count 1",
        ),
        (
            Engine::VLLM,
            (4096, None),
            "--enable-lora --max-loras 8 --max-cpu-loras 64 --max-lora-rank 64 --api-server-count 1",
        ),
        (
            Engine::SGLang,
            (1, Some(24)),
            "--enable-lora --max-loras-per-batch 2 --max-loaded-loras 64 --max-lora-rank 24 --lora-target-modules all",
        ),
        (
            Engine::SGLang,
            (100, None),
            "--enable-lora --max-loras-per-batch 8 --max-loaded-loras 64 --max-lora-rank 64 --lora-target-modules all",
        ),
        (
            Engine::LlamaCpp,
            (2, None),
            "--lora-scaled /a/x.gguf:0,/a/y.gguf:0 --no-cache-prompt",
        ),
        (Engine::LoRAX, (2, None), ""),
        (Engine::Custom, (2, None), ""),
    ] {
        let image = engine.default_image().map(|image| image.to_string());
        let found = found(engine, &image.unwrap_or_default(), count, max_rank);
        assert_eq!(options(engine, &found).join(" "), expected, "{engine} {found:?}");
    }
}

#[test]
fn on_processors_the_last_slot_of_vllm_stays_empty() {
    for (devices, count, expected) in [
        (Devices::Counted(0), 2, "--max-loras 3 --max-cpu-loras 64"),
        (Devices::Counted(0), 100, "--max-loras 101 --max-cpu-loras 101"),
        (Devices::Claimed, 100, "--max-loras 8 --max-cpu-loras 64"),
        (Devices::Counted(1), 2, "--max-loras 2 --max-cpu-loras 64"),
    ] {
        let found = FoundAdapters {
            devices,
            ..found(Engine::VLLM, "vllm-openai:v0.32.0", count, Some(8))
        };
        let options = options(Engine::VLLM, &found).join(" ");
        assert!(options.contains(expected), "{options}");
    }
}

#[test]
fn an_image_that_may_be_old_is_told_nothing_that_came_late_and_can_be_done_without() {
    const VLLM: &str = "--enable-lora --max-loras 2 --max-cpu-loras 64 --max-lora-rank 16";
    const VLLM_0_9_1: &str = "--enable-lora --max-loras 2 --max-cpu-loras 64 --max-lora-rank 16 --api-server-count 1";
    const SGLANG: &str = "--enable-lora --max-loras-per-batch 3 --max-lora-rank 16 --lora-target-modules all";
    const SGLANG_0_5_6: &str =
        "--enable-lora --max-loras-per-batch 3 --max-loaded-loras 64 --max-lora-rank 16 --lora-target-modules all";
    const LLAMA_CPP: &str = "--lora-scaled /a/x.gguf:0,/a/y.gguf:0 --no-cache-prompt";
    for (engine, image, expected) in [
        (Engine::VLLM, "vllm-openai:v0.9.0.1", VLLM),
        (Engine::VLLM, "vllm-openai:v0.9.1", VLLM_0_9_1),
        (Engine::VLLM, "vllm-openai:v0.33.0", VLLM_0_9_1),
        (Engine::VLLM, "vllm-openai:nightly", VLLM),
        (Engine::SGLang, "sglang:v0.5.5.post3", SGLANG),
        (Engine::SGLang, "sglang:v0.5.6", SGLANG_0_5_6),
        (Engine::SGLang, "sglang:dev", SGLANG),
        (Engine::LlamaCpp, "llama.cpp:server-cuda-b4000", LLAMA_CPP),
    ] {
        let found = found(engine, image, 2, Some(16));
        assert_eq!(options(engine, &found).join(" "), expected, "{image}");
    }
}

#[test]
fn what_a_server_is_told_of_adapters_is_what_gives_way_to_it() {
    for engine in [Engine::VLLM, Engine::SGLang] {
        let image = engine.default_image().map(|image| image.to_string());
        let told = options(engine, &found(engine, &image.unwrap_or_default(), 2, None));
        let (limits, _) = limits(engine);
        let names = told
            .iter()
            .filter(|word| word.starts_with("--") && *word != "--enable-lora");
        for name in names {
            assert!(limits.contains(&name.as_str()), "{engine} {name}");
        }
    }
}

#[test]
fn variables_are_those_of_engine_and_source() {
    use AdapterSource::{Hub, PBase};
    let options = ["--enable-lora".to_owned()];
    for (engine, source, options, expected) in [
        (
            Engine::VLLM,
            Hub,
            &options[..],
            &["VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"][..],
        ),
        (Engine::VLLM, Hub, &[], &[]),
        (Engine::LoRAX, Hub, &[], &["LORAX_USE_GLOBAL_HF_TOKEN=1"]),
        (
            Engine::LoRAX,
            PBase,
            &[],
            &["LORAX_USE_GLOBAL_HF_TOKEN=1", "LOG_LEVEL=error"],
        ),
        (Engine::SGLang, Hub, &options, &[]),
    ] {
        let variables = env(engine, source, options);
        let written: Vec<_> = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(written, expected, "{engine} {source} {options:?}");
    }
}

#[test]
fn a_rank_is_one_that_vllm_takes() {
    for (rank, expected) in [(0, 8), (1, 8), (9, 16), (256, 256), (257, 320), (512, 512), (1000, 512)] {
        assert_eq!(vllm_rank(rank), expected, "{rank}");
    }
    assert_eq!(largest_rank(Engine::VLLM), Some(512));
}

#[test]
fn arguments_and_variables_that_name_adapters_are_known() {
    for (engine, args, env, expected) in [
        (
            Engine::VLLM,
            &["--lora-modules", "a=b"][..],
            &[][..],
            Some("--lora-modules"),
        ),
        (Engine::VLLM, &["--lora_modules=a=b"], &[], Some("--lora_modules")),
        (Engine::VLLM, &["--max-loras", "2"], &[], None),
        (
            Engine::LoRAX,
            &["--preloaded-adapter-ids", "a"],
            &[],
            Some("--preloaded-adapter-ids"),
        ),
        (Engine::LoRAX, &[], &["A", "ADAPTER_ID"], Some("ADAPTER_ID")),
        (Engine::LoRAX, &["--max-active-adapters", "2"], &[], None),
        (Engine::SGLang, &["--lora-paths", "a"], &[], Some("--lora-paths")),
        (Engine::LlamaCpp, &["--lora", "a.gguf"], &[], Some("--lora")),
        (Engine::Custom, &["--lora", "a"], &[], None),
    ] {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        assert_eq!(fighting(engine, &args, env), expected, "{engine} {args:?} {env:?}");
    }
}
