use super::Mistake::{
    AdapterNotLoaded, InvalidServerArguments, ModelAccessDenied, ModelNotFound, OutOfGPUMemory,
    QuantizationUnsupported, UnsupportedArchitecture,
};
use super::*;

/// What is recognised in which words, and a part of the line that is told.
type Case = (Mistake, &'static str, &'static str);

fn holds(engine: Engine, table: &[Case]) {
    for (mistake, words, told) in table {
        let last = last_words(engine, words);
        assert_eq!(last.mistake, Some(*mistake), "{words}");
        assert!(last.line.contains(told), "{:?} should have {told:?}", last.line);
        assert!(
            !last.line.contains('\n') && last.line.len() <= LINE_LIMIT,
            "{}",
            last.line
        );
    }
}

/// vLLM 0.32.0 unless something else is named; parts in braces of its sources are filled in.
#[test]
fn vllm_about_the_model() {
    holds(
        Engine::VLLM,
        &[
            (
                ModelAccessDenied,
                // transformers 5.24.0, utils/hub.py, around huggingface_hub's utils/_http.py; as in huggingface/trl issue 4282.
                "OSError: You are trying to access a gated repo.\nMake sure to have access to it at https://huggingface.co/google/gemma-3n-E2B-it.\n401 Client Error. (Request ID: Root=1-68ef62a0-63f3c4056cb46c2169cf2218;65732a89-ffad-4eff-acfb-2e69edcf215c)\n\nCannot access gated repo for url https://huggingface.co/google/gemma-3n-E2B-it/resolve/main/config.json.\nAccess to model google/gemma-3n-E2B-it is restricted. You must have access to it and be authenticated to access it. Please log in.",
                "Cannot access gated repo for url https://huggingface.co/google/gemma-3n-E2B-it/",
            ),
            (
                ModelAccessDenied,
                // The same with a token that was not granted access; ariG23498/gemma3-object-detection issue 5.
                "403 Client Error. (Request ID: Root=1-6824e511-0a1d60376d4eefac56a9c456;85e8458c-a7d7-452d-b8fe-576bb259b500)\n\nCannot access gated repo for url https://huggingface.co/google/gemma-3-4b-pt/resolve/main/config.json.\nAccess to model google/gemma-3-4b-pt is restricted and you are not in the authorized list. Visit https://huggingface.co/google/gemma-3-4b-pt to ask for access.",
                "Cannot access gated repo",
            ),
            (
                ModelAccessDenied,
                // huggingface_hub, utils/_http.py: the server's message of a token that it does not know.
                "huggingface_hub.errors.HfHubHTTPError: Client error '401 Unauthorized' for url 'https://huggingface.co/api/models/meta-llama/Llama-3.1-8B'\nInvalid credentials in Authorization header",
                "Invalid credentials",
            ),
            (
                ModelAccessDenied,
                // huggingface_hub, utils/_http.py: a fine-grained token without the right to read this repository.
                "403 Forbidden: None.\nCannot access content at: https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.\nMake sure your token has the correct permissions.",
                "403 Forbidden",
            ),
            (
                ModelNotFound,
                // transformers 5.24.0, utils/hub.py.
                "OSError: Qwen/Qwen3-9B is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'\nIf this is a private repository, make sure to pass a token having permission to this repo either by logging in with `hf auth login` or by passing `token=<your_token>`",
                "Qwen/Qwen3-9B is not a local folder",
            ),
            (
                ModelNotFound,
                // huggingface_hub, utils/_http.py.
                "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.\n\nRepository Not Found for url: https://huggingface.co/api/models/Qwen/Qwen3-9B.\nPlease make sure you specified the correct `repo_id` and `repo_type`.",
                "Repository Not Found for url",
            ),
            (
                ModelNotFound,
                // huggingface_hub, utils/_validators.py: a path that is not there is taken for a repository.
                "(APIServer pid=1) huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/qwen'. Use `repo_type` argument if needed.",
                "'/models/qwen'",
            ),
            (
                ModelNotFound,
                // vllm/transformers_utils/config.py.
                "(APIServer pid=1)   Value error, Invalid repository ID or local directory specified: '/models/qwen'.\n(APIServer pid=1) Please verify the following requirements:\n(APIServer pid=1) 1. Provide a valid Hugging Face repository ID.",
                "Invalid repository ID or local directory specified: '/models/qwen'.",
            ),
            (
                OutOfGPUMemory,
                // PyTorch 2.9; the form of c10/cuda/CUDACachingAllocator.cpp.
                "(EngineCore pid=309) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.63 GiB. GPU 0 has a total capacity of 44.56 GiB of which 565.31 MiB is free.",
                "torch.OutOfMemoryError: CUDA out of memory.",
            ),
            (
                OutOfGPUMemory,
                // vllm/v1/worker/utils.py; vllm-project/vllm-omni issue 276.
                "ValueError: Free memory on device cuda:0 (0.49/79.32 GiB) on startup is less than desired GPU memory utilization (0.6, 47.59 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
                "(0.49/79.32 GiB)",
            ),
            (
                OutOfGPUMemory,
                // vllm/v1/core/kv_cache_utils.py.
                "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine (this flag also controls CPU memory reservation on the CPU backend, despite its name).",
                "No available memory for the cache blocks",
            ),
            (
                OutOfGPUMemory,
                // vllm/v1/core/kv_cache_utils.py; older versions said "the models's" and the rest alike.
                "(EngineCore pid=309) ValueError: To serve at least one request with the model's max seq len (196608), (11.62 GiB KV cache is needed, which is larger than the available KV cache memory (9.38 GiB). Based on the available memory, the estimated maximum model length is 158560. Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or decreasing `max_model_len` when initializing the engine.",
                "11.62 GiB KV cache is needed",
            ),
        ],
    );
}

/// vLLM 0.32.0 unless something else is named.
#[test]
fn vllm_about_what_it_was_told_to_do() {
    holds(
        Engine::VLLM,
        &[
            (
                QuantizationUnsupported,
                // vllm/config/model.py, as pydantic tells it.
                "(APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n(APIServer pid=1)   Value error, Unknown quantization method: bitsandbytes. Must be one of ['awq', 'fp8', 'gptq']. [type=value_error, input_value=ArgsKwargs(), input_type=ArgsKwargs]",
                "Unknown quantization method: bitsandbytes",
            ),
            (
                QuantizationUnsupported,
                // vllm/config/model.py.
                "Value error, Quantization method specified in the model config (gptq) does not match the quantization method specified in the `quantization` argument (awq).",
                "(gptq) does not match",
            ),
            (
                QuantizationUnsupported,
                // vllm/config/vllm.py.
                "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 75. Current capability: 70.",
                "Minimum capability: 75",
            ),
            (
                QuantizationUnsupported,
                // vllm/platforms/interface.py.
                "ValueError: mxfp4 quantization is currently not supported in cpu.",
                "mxfp4",
            ),
            (
                UnsupportedArchitecture,
                // vllm/model_executor/models/registry.py; PaddlePaddle/PaddleOCR issue 17171.
                "(APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n(APIServer pid=1)   Value error, Model architectures ['PaddleOCRVLForConditionalGeneration'] are not supported for now. Supported architectures: dict_keys(['ApertusForCausalLM', 'AquilaModel', 'AquilaForCausalLM'])",
                "['PaddleOCRVLForConditionalGeneration'] are not supported",
            ),
            (
                UnsupportedArchitecture,
                // vllm/model_executor/models/registry.py.
                "ValueError: Model architecture MllamaForConditionalGeneration was supported in vLLM until v0.10.2, and is not supported anymore. Please use an older version of vLLM if you want to use this model architecture.",
                "until v0.10.2",
            ),
            (
                UnsupportedArchitecture,
                // transformers 5.24.0, models/auto/configuration_auto.py.
                "ValueError: The checkpoint you are trying to load has model type `qwen9` but Transformers does not recognize this architecture. This could be because of an issue with the checkpoint, or because your version of Transformers is out of date.",
                "model type `qwen9`",
            ),
            (
                InvalidServerArguments,
                // Python's argparse, with the program's name as `vllm serve` sets it (vllm/utils/argparse_utils.py).
                "usage: vllm serve [model_tag] [options]\nvllm serve: error: unrecognized arguments: --no-such-flag",
                "unrecognized arguments: --no-such-flag",
            ),
            (
                InvalidServerArguments,
                // vllm/config/parallel.py.
                "Value error, World size (8) is larger than the number of available GPUs (1) in this node. If this is intentional and you are using:",
                "World size (8)",
            ),
            (
                InvalidServerArguments,
                // vllm/config/model.py.
                "  Value error, Total number of attention heads (14) must be divisible by tensor parallel size (4). [type=value_error, input_value=ArgsKwargs(), input_type=ArgsKwargs]",
                "must be divisible by tensor parallel size (4)",
            ),
            (
                InvalidServerArguments,
                // vllm/transformers_utils/config.py.
                "RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the HuggingFace transformers library, consider setting `trust_remote_code=True` in LLM or using the `--trust-remote-code` flag in the CLI.",
                "--trust-remote-code",
            ),
        ],
    );
}

/// Runs of llama-server 0.7.0 (build 11669) unless something else is named.
#[test]
fn llama_server() {
    holds(
        Engine::LlamaCpp,
        &[
            (
                UnsupportedArchitecture,
                "0.00.041.315 E llama_model_load: error loading model: unknown model architecture: 'llamx'\n0.00.041.356 E llama_model_load_from_file_impl: failed to load model\n0.00.041.370 E cmn  common_init_: failed to load model '/models/arch.gguf'\n0.00.042.533 E srv  llama_server: exiting due to model loading error",
                "unknown model architecture: 'llamx'",
            ),
            (
                UnsupportedArchitecture,
                // Builds of 2025: ollama/ollama issue 12984.
                "llama_model_load: error loading model: error loading model architecture: unknown model architecture: 'pangu-embedded'\nllama_model_load_from_file_impl: failed to load model",
                "'pangu-embedded'",
            ),
            (
                ModelNotFound,
                "0.00.009.133 E gguf_init_from_file: failed to open GGUF file '/nope.gguf' (No such file or directory)\n0.00.009.150 E llama_model_load: error loading model: llama_model_loader: failed to load model from /nope.gguf\n0.00.011.305 E srv  llama_server: exiting due to model loading error",
                "'/nope.gguf' (No such file or directory)",
            ),
            (
                ModelNotFound,
                "0.00.021.121 E get_repo_commit: error: GET failed (404): {}\n0.00.021.155 W get_repo_files: failed to resolve commit for no/such-repo",
                "GET failed (404)",
            ),
            (
                ModelAccessDenied,
                "0.00.025.634 E get_repo_commit: error: GET failed (401): {}\n0.00.025.666 W get_repo_files: failed to resolve commit for no/such-repo",
                "GET failed (401)",
            ),
            (
                InvalidServerArguments,
                "error: invalid argument: --no-such-flag",
                "--no-such-flag",
            ),
            (
                InvalidServerArguments,
                "error while handling argument \"-c\": stoi\n\nusage:\n-c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)\n                                        (env: LLAMA_ARG_CTX_SIZE)\n\n\nto show complete usage, run with -h",
                "argument \"-c\": stoi",
            ),
            (
                InvalidServerArguments,
                "error while handling environment variable \"LLAMA_ARG_CTX_SIZE\": stoi",
                "LLAMA_ARG_CTX_SIZE",
            ),
            (
                AdapterNotLoaded,
                // The format strings of ggml/src/gguf.cpp, src/llama-adapter.cpp and common/common.cpp.
                "E gguf_init_from_file: failed to open GGUF file '/adapters/sql.gguf' (No such file or directory)\nE llama_adapter_lora_init: failed to apply lora adapter: failed to load lora adapter file from /adapters/sql.gguf\nE cmn  common_init_: failed to load lora adapter '/adapters/sql.gguf'\nE srv  llama_server: exiting due to model loading error",
                "failed to load lora adapter '/adapters/sql.gguf'",
            ),
            (
                AdapterNotLoaded,
                // The same of builds of 2025.
                "common_init_from_params: failed to apply lora adapter '/adapters/sql.gguf'\nsrv    load_model: failed to load model, '/models/model.gguf'",
                "'/adapters/sql.gguf'",
            ),
            (
                OutOfGPUMemory,
                // ggml-cuda.cu, as quoted in public logs of 2026; no GPU was at hand.
                "E ggml_backend_cuda_buffer_type_alloc_buffer: allocating 13285.50 MiB on device 0: cudaMalloc failed: out of memory\nE llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
                "allocating 13285.50 MiB on device 0",
            ),
            (
                OutOfGPUMemory,
                "llama_model_load: error loading model: unable to allocate CUDA0 buffer",
                "CUDA0",
            ),
            (
                QuantizationUnsupported,
                // The format string of libggml-base of that build.
                "gguf_init_from_reader: tensor 'blk.0.attn_q.weight' has invalid ggml type 45. should be in [0, 40)",
                "invalid ggml type 45",
            ),
        ],
    );
}

#[test]
fn what_may_pass_or_says_nothing_is_no_mistake() {
    let table = [
        (
            Engine::VLLM,
            // What kubelet keeps when the engine's own process failed: the cause stands above it (vllm/v1/engine/utils.py).
            "ckages/vllm/v1/engine/async_llm.py\", line 217, in from_vllm_config\n(APIServer pid=1)     return cls(\n(APIServer pid=1)     raise RuntimeError(\n(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}\n",
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
        ),
        (
            Engine::VLLM,
            // vllm/v1/worker/gpu_worker.py, of a start that works.
            "Free memory on device (78.9/79.32 GiB) on startup. Desired GPU memory utilization is (0.9, 71.4 GiB).",
            "Free memory on device (78.9/79.32 GiB) on startup. Desired GPU memory utilization is (0.9, 71.4 GiB).",
        ),
        (
            Engine::VLLM,
            // transformers 5.24.0, utils/hub.py: the next try may find the network.
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.",
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.",
        ),
        (
            Engine::LlamaCpp,
            "0.00.020.111 E get_repo_commit: error: GET failed (503): {}\n0.00.020.139 W get_repo_files: failed to resolve commit for no/such-repo",
            "0.00.020.111 E get_repo_commit: error: GET failed (503): {}",
        ),
        (
            Engine::LlamaCpp,
            "0.00.007.186 E gguf_init_from_reader: invalid magic characters: 'not ', expected 'GGUF'\n0.00.007.200 E llama_model_load: error loading model: llama_model_loader: failed to load model from /tmp/bad.gguf\n0.00.008.499 E srv  llama_server: exiting due to model loading error",
            "0.00.007.200 E llama_model_load: error loading model: llama_model_loader: failed to load model from /tmp/bad.gguf",
        ),
        (Engine::VLLM, "  \n\n", ""),
        (Engine::VLLM, "Segmentation fault\n", "Segmentation fault"),
    ];
    for (engine, words, line) in table {
        assert_eq!(last_words(engine, words), LastWords { mistake: None, line }, "{words}");
    }
}

/// predibase/lorax a7394ba and sglang 0.5.23; parts in braces of their sources are filled in.
#[test]
fn lorax_and_sglang() {
    holds(
        Engine::LoRAX,
        &[
            (
                UnsupportedArchitecture,
                "ValueError: Unsupported model type qwen3\nError: ShardCannotStart",
                "Unsupported model type qwen3",
            ),
            (
                InvalidServerArguments,
                "error: unexpected argument '--max-model-len' found\n\nUsage: lorax-launcher [OPTIONS]",
                "--max-model-len",
            ),
            (
                InvalidServerArguments,
                "error: the argument '--num-shard <NUM_SHARD>' cannot be used multiple times",
                "--num-shard",
            ),
            (
                OutOfGPUMemory,
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.63 GiB.\nError: ShardCannotStart",
                "CUDA out of memory",
            ),
        ],
    );
    holds(
        Engine::SGLang,
        &[
            (
                InvalidServerArguments,
                "usage: sglang serve [-h]\nsglang serve: error: unrecognized arguments: --max-model-len",
                "--max-model-len",
            ),
            (
                ModelNotFound,
                "OSError: Qwen/Qwen3-9B is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
                "Qwen/Qwen3-9B",
            ),
        ],
    );
}

#[test]
fn nothing_is_known_of_engine_custom() {
    let last = last_words(Engine::Custom, "loading\nRuntimeError: CUDA out of memory");
    assert_eq!(last.mistake, None);
    assert_eq!(last.line, "RuntimeError: CUDA out of memory");
}
