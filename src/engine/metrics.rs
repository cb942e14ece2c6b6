//! What an engine says of its own queue: its Prometheus page, read for the few series that matter.
//!
//! The text format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>. A parser of all of it would
//! keep hundreds of series that nothing reads; what is needed here is a name, a closing brace and a number.

use super::Engine;

/// Where every engine that has a page has it.
pub const METRICS_PATH: &str = "/metrics";
/// The most that is read of a page, in bytes; what is beyond is not looked at. vLLM's page, the largest, has about 100 KiB.
pub const LARGEST_PAGE: usize = 1 << 20;

/// What an engine has to do, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Requests in its batch.
    pub running: u64,
    /// Requests that wait for a place in it.
    pub waiting: u64,
    /// Work done since it started: it grows while the engine works, also through minutes in which no request ends, and is of use only in
    /// comparison with an earlier one. It falls when the engine was restarted. For vLLM and SGLang tokens; for LoRAX and llama-server
    /// tokens and batches.
    pub work: u64,
}

/// The series that say so.
struct Series {
    running: &'static str,
    waiting: &'static str,
    work: &'static [&'static str],
}

/// vLLM 0.32.0, `vllm/v1/metrics/loggers.py`. Its counters are declared without `_total`, which the Prometheus client adds.
const VLLM: Series = Series {
    running: "vllm:num_requests_running",
    waiting: "vllm:num_requests_waiting",
    work: &["vllm:generation_tokens_total", "vllm:prompt_tokens_total"],
};

/// predibase/lorax a7394ba, `router/src/scheduler.rs` and `infer.rs`. Release v0.12.1 does not say how many wait. Its tokens are counted when a request
/// begins and ends; batches move in between.
const LORAX: Series = Series {
    running: "lorax_batch_current_size",
    waiting: "lorax_queue_length",
    work: &[
        "lorax_batch_inference_count",
        "lorax_request_generated_tokens_sum",
        "lorax_request_input_length_sum",
    ],
};

/// sglang 0.5.23, `sglang/srt/observability/metrics_collector.py`. Its page is there with `--enable-metrics`. The engine writes these
/// when it reads prompts, and every 40th step of decoding; its other counters of tokens move when a request ends.
const SGLANG: Series = Series {
    running: "sglang:num_running_reqs",
    waiting: "sglang:num_queue_reqs",
    work: &["sglang:realtime_tokens_total"],
};

/// llama-server run. Its tokens are counted when a prompt is read and when a request ends, so that through a long generation
/// only the number of batches moves.
const LLAMA_CPP: Series = Series {
    running: "llamacpp:requests_processing",
    waiting: "llamacpp:requests_deferred",
    work: &[
        "llamacpp:tokens_predicted_total",
        "llamacpp:prompt_tokens_total",
        "llamacpp:n_decode_total",
    ],
};

/// Reads a page; `None` where it does not say how many requests run and wait, and for an engine of which nothing is known. Series with the same name are added up, as vLLM has
/// one for each of its engines (data parallel).
#[must_use]
pub fn engine_load(engine: Engine, page: &[u8]) -> Option<EngineLoad> {
    let series = match engine {
        Engine::VLLM => &VLLM,
        Engine::LoRAX => &LORAX,
        Engine::SGLang => &SGLANG,
        Engine::LlamaCpp => &LLAMA_CPP,
        Engine::Custom => return None,
    };
    let page = &page[..page.len().min(LARGEST_PAGE)];
    let (mut running, mut waiting, mut work) = (None, None, 0.0);
    for (name, value) in page.split(|byte| *byte == b'\n').filter_map(sample) {
        if name == series.running {
            running = Some(running.unwrap_or(0.0) + value);
        } else if name == series.waiting {
            waiting = Some(waiting.unwrap_or(0.0) + value);
        } else if series.work.contains(&name) {
            work += value;
        }
    }
    Some(EngineLoad {
        running: count(running?),
        waiting: count(waiting?),
        work: count(work),
    })
}

/// The name and value of a line; `None` for a comment, for what is no sample, and for a value that counts nothing.
fn sample(line: &[u8]) -> Option<(&str, f64)> {
    let line = std::str::from_utf8(line).ok()?.trim();
    let name_end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    // A label's value may have a brace in it; a sample's value and its time have not.
    let value = if rest.starts_with('{') {
        rest.rsplit_once('}')?.1
    } else {
        rest
    };
    let value: f64 = value.split_ascii_whitespace().next()?.parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some((name, value))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count is no fraction and not negative, and one beyond u64 becomes the largest"
)]
fn count(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `prometheus_client` writes it, with two engines.
    const VLLM_PAGE: &str = r#"# HELP python_gc_objects_collected_total Objects collected during gc
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total{generation="0"} 11207.0
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-8B"} 256.0
vllm:num_requests_running{engine="1",model_name="Qwen/Qwen3-8B"} 250.0
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-8B"} 17.0
vllm:num_requests_waiting{engine="1",model_name="Qwen/Qwen3-8B"} 0.0
# HELP vllm:num_requests_waiting_by_reason Number of waiting requests, grouped by the reason.
# TYPE vllm:num_requests_waiting_by_reason gauge
vllm:num_requests_waiting_by_reason{engine="0",model_name="Qwen/Qwen3-8B",reason="capacity"} 17.0
# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="Qwen/Qwen3-8B"} 1.234567e+06
vllm:prompt_tokens_total{engine="1",model_name="Qwen/Qwen3-8B"} 33.0
# HELP vllm:prompt_tokens_created Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_created gauge
vllm:prompt_tokens_created{engine="0",model_name="Qwen/Qwen3-8B"} 1.7600000000e+09
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="Qwen/Qwen3-8B"} 400.0
"#;

    /// As llama-server wrote it in the middle of a generation.
    const LLAMA_CPP_PAGE: &str = "\
# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 156
# HELP llamacpp:prompt_tokens_cached_total Number of prompt tokens reused from the cache
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total 9000
# HELP llamacpp:tokens_predicted_total Number of generation tokens processed
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 59
# HELP llamacpp:n_decode_total Total number of llama_decode() calls, excluding speculative decoding and multimodal decoding
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total 61
# HELP llamacpp:prompt_tokens_seconds Average prompt throughput in tokens/s
# TYPE llamacpp:prompt_tokens_seconds gauge
llamacpp:prompt_tokens_seconds 41.9254
# HELP llamacpp:requests_processing Number of requests processing
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 4
# HELP llamacpp:requests_deferred Number of requests deferred
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 6
# HELP llamacpp:n_busy_slots_per_decode Average number of busy slots per llama_decode() call
# TYPE llamacpp:n_busy_slots_per_decode gauge
llamacpp:n_busy_slots_per_decode 3.5
";

    /// As the `metrics-exporter-prometheus` of LoRAX's router writes it.
    const LORAX_PAGE: &str = r#"# TYPE lorax_batch_inference_count counter
lorax_batch_inference_count{method="prefill"} 7
lorax_batch_inference_count{method="decode"} 812

# TYPE lorax_request_count counter
lorax_request_count 24

# TYPE lorax_batch_current_size gauge
lorax_batch_current_size 12

# TYPE lorax_queue_length gauge
lorax_queue_length 3

# TYPE lorax_request_input_length histogram
lorax_request_input_length_bucket{le="10"} 0
lorax_request_input_length_bucket{le="+Inf"} 24
lorax_request_input_length_sum 1000
lorax_request_input_length_count 24

# TYPE lorax_request_generated_tokens histogram
lorax_request_generated_tokens_bucket{le="+Inf"} 9
lorax_request_generated_tokens_sum 500
lorax_request_generated_tokens_count 9
"#;

    /// As `prometheus_client` writes it.
    const SGLANG_PAGE: &str = r#"# HELP sglang:num_running_reqs The number of running requests.
# TYPE sglang:num_running_reqs gauge
sglang:num_running_reqs{engine_type="unified",model_name="qwen3-8b",pp_rank="0",tp_rank="0"} 48.0
# HELP sglang:num_queue_reqs The number of requests in the waiting queue.
# TYPE sglang:num_queue_reqs gauge
sglang:num_queue_reqs{engine_type="unified",model_name="qwen3-8b",pp_rank="0",tp_rank="0"} 5.0
# HELP sglang:num_grammar_queue_reqs The number of requests in the grammar waiting queue.
# TYPE sglang:num_grammar_queue_reqs gauge
sglang:num_grammar_queue_reqs{engine_type="unified",model_name="qwen3-8b",pp_rank="0",tp_rank="0"} 1.0
# HELP sglang:realtime_tokens_total Total number of tokens processed (updated on each log interval).
# TYPE sglang:realtime_tokens_total counter
sglang:realtime_tokens_total{mode="prefill_compute",model_name="qwen3-8b"} 900.0
sglang:realtime_tokens_total{mode="decode",model_name="qwen3-8b"} 1.6e+03
"#;

    fn load(running: u64, waiting: u64, work: u64) -> EngineLoad {
        EngineLoad { running, waiting, work }
    }

    fn llama_cpp(page: &str) -> Option<EngineLoad> {
        engine_load(Engine::LlamaCpp, page.as_bytes())
    }

    #[test]
    fn the_engines_of_a_vllm_server_are_added_up() {
        assert_eq!(
            engine_load(Engine::VLLM, VLLM_PAGE.as_bytes()),
            Some(load(506, 17, 1_235_000))
        );
    }

    #[test]
    fn batches_move_llama_servers_work_while_no_request_ends() {
        assert_eq!(llama_cpp(LLAMA_CPP_PAGE), Some(load(4, 6, 156 + 59 + 61)));
    }

    #[test]
    fn batches_move_lorax_s_work_while_no_request_ends() {
        assert_eq!(
            engine_load(Engine::LoRAX, LORAX_PAGE.as_bytes()),
            Some(load(12, 3, 819 + 1500))
        );
    }

    #[test]
    fn sglang_counts_tokens_as_they_are_made() {
        assert_eq!(
            engine_load(Engine::SGLang, SGLANG_PAGE.as_bytes()),
            Some(load(48, 5, 2500))
        );
    }

    #[test]
    fn a_page_without_the_series_says_nothing() {
        let release = LORAX_PAGE.replace("lorax_queue_length", "lorax_queue_size");
        assert_eq!(engine_load(Engine::LoRAX, release.as_bytes()), None);
        assert_eq!(engine_load(Engine::Custom, VLLM_PAGE.as_bytes()), None);
        assert_eq!(engine_load(Engine::LlamaCpp, VLLM_PAGE.as_bytes()), None);
        assert_eq!(engine_load(Engine::VLLM, LLAMA_CPP_PAGE.as_bytes()), None);
        assert_eq!(llama_cpp(""), None);
        assert_eq!(llama_cpp("llamacpp:requests_processing 4\n"), None);
        assert_eq!(
            llama_cpp("llamacpp:requests_processing_x 4\nllamacpp:requests_deferred 1"),
            None
        );
    }

    #[test]
    fn numbers_are_read_as_prometheus_writes_them() {
        let cases = [
            ("1e+06", Some(1_000_000)),
            ("2.0 1764030000000", Some(2)),
            (" \t3", Some(3)),
            ("+Inf", None),
            ("NaN", None),
            ("-1", None),
            ("", None),
            ("four", None),
            ("1e300", Some(u64::MAX)),
        ];
        for (value, running) in cases {
            let page = format!("llamacpp:requests_processing {value}\r\nllamacpp:requests_deferred 0\n");
            assert_eq!(llama_cpp(&page).map(|load| load.running), running, "{value:?}");
        }
    }

    #[test]
    fn a_label_may_have_what_ends_labels() {
        let page = "llamacpp:requests_processing{a=\"} 9\",b=\"{\"} 4\nllamacpp:requests_deferred{} 1 1764030000000\n";
        assert_eq!(llama_cpp(page), Some(load(4, 1, 0)));
    }

    #[test]
    fn bytes_that_are_no_text_spoil_their_line_only() {
        let page = [b"\xff\xfe{} 1\n}{\n{\n", LLAMA_CPP_PAGE.as_bytes()].concat();
        assert_eq!(engine_load(Engine::LlamaCpp, &page), Some(load(4, 6, 276)));
    }

    #[test]
    fn what_is_beyond_the_largest_page_is_not_read() {
        let page = format!("{}\n{LLAMA_CPP_PAGE}", "#".repeat(LARGEST_PAGE));
        assert_eq!(llama_cpp(&page), None);
    }
}
