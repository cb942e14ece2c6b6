//! The metrics by which a program's queue and progress are known: names and forms of vLLM 0.32.0 (`vllm/v1/metrics/loggers.py`), LoRAX
//! (predibase/lorax a7394ba, `router/src/scheduler.rs`, `infer.rs`), sglang 0.5.23 (`sglang/srt/observability/metrics_collector.py`), and
//! llama.cpp 0.7.0 as it ran.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::settings::{Program, Settings};

/// What is counted over a server's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub prompt: u64,
    pub generated: u64,
}

/// How the tokens of an answer come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So many in all, evenly over this time.
    Within(u64, Duration),
    /// So many a second, without an end.
    PerSecond(u64),
}

impl Pace {
    fn after(self, time: Duration) -> u64 {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::Within(tokens, whole) if time >= whole => tokens,
            Self::Within(tokens, whole) => tokens * millis(time) / millis(whole).max(1),
            Self::PerSecond(tokens) => tokens.saturating_mul(millis(time)) / 1000,
        }
    }
}

/// Counts the tokens of answers while they are made.
#[derive(Debug, Default)]
pub struct Generations(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ended: Tokens,
    next: u64,
    running: std::collections::BTreeMap<u64, (Instant, Pace)>,
}

/// An answer that is being made, until it is dropped: also when the client goes away.
pub struct Generation<'a> {
    of: &'a Generations,
    number: u64,
}

impl Drop for Generation<'_> {
    fn drop(&mut self) {
        self.of.change(|state| {
            if let Some((since, pace)) = state.running.remove(&self.number) {
                state.ended.generated += pace.after(since.elapsed());
            }
        });
    }
}

impl Generations {
    /// The prompt was read, and tokens begin to come.
    pub fn begin(&self, prompt: u64, pace: Pace) -> Generation<'_> {
        let number = self.change(|state| {
            state.ended.prompt += prompt;
            state.next += 1;
            state.running.insert(state.next, (Instant::now(), pace));
            state.next
        });
        Generation { of: self, number }
    }

    /// All tokens until now.
    pub fn tokens(&self) -> Tokens {
        self.change(|state| {
            let running = state.running.values().map(|(since, pace)| pace.after(since.elapsed()));
            Tokens {
                prompt: state.ended.prompt,
                generated: state.ended.generated + running.sum::<u64>(),
            }
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The text of `/metrics`.
pub fn text(settings: &Settings, in_flight: usize, tokens: Tokens) -> String {
    let running = in_flight.min(settings.slots);
    let waiting = in_flight - running;
    let Tokens { prompt, generated } = tokens;
    match settings.program {
        Program::Vllm => {
            let labels = format!("{{engine=\"0\",model_name=\"{}\"}}", settings.names[0]);
            let cache = cache_in_percent(running, settings.slots);
            format!(
                "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{labels} {running}.0\n\
                 # TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{labels} {waiting}.0\n\
                 # TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{labels} {}.{:02}\n\
                 # TYPE vllm:prompt_tokens_total counter\nvllm:prompt_tokens_total{labels} {prompt}.0\n\
                 # TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total{labels} {generated}.0\n",
                cache / 100,
                cache % 100,
            )
        }
        // Its tokens are sums over requests that ended, and a batch makes one for each.
        Program::Lorax => format!(
            "# TYPE lorax_batch_inference_count counter\nlorax_batch_inference_count{{method=\"decode\"}} {generated}\n\n\
             # TYPE lorax_batch_current_size gauge\nlorax_batch_current_size {running}\n\n\
             # TYPE lorax_queue_length gauge\nlorax_queue_length {waiting}\n\n\
             # TYPE lorax_request_input_length histogram\nlorax_request_input_length_sum {prompt}\n\n\
             # TYPE lorax_request_generated_tokens histogram\nlorax_request_generated_tokens_sum {generated}\n\n"
        ),
        Program::Sglang => {
            let labels = |more: &str| {
                format!(
                    "{{engine_type=\"unified\",{more}model_name=\"{}\",tp_rank=\"0\"}}",
                    settings.names[0]
                )
            };
            let (all, read, made) = (
                labels(""),
                labels("mode=\"prefill_compute\","),
                labels("mode=\"decode\","),
            );
            format!(
                "# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs{all} {running}.0\n\
                 # TYPE sglang:num_queue_reqs gauge\nsglang:num_queue_reqs{all} {waiting}.0\n\
                 # TYPE sglang:realtime_tokens_total counter\nsglang:realtime_tokens_total{read} {prompt}.0\n\
                 sglang:realtime_tokens_total{made} {generated}.0\n"
            )
        }
        Program::LlamaServer => format!(
            "# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total {prompt}\n\
             # TYPE llamacpp:tokens_predicted_total counter\nllamacpp:tokens_predicted_total {generated}\n\
             # TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing {running}\n\
             # TYPE llamacpp:requests_deferred gauge\nllamacpp:requests_deferred {waiting}\n"
        ),
    }
}

/// Every running request takes an equal share of the cache, and all slots together take it whole.
fn cache_in_percent(running: usize, slots: usize) -> usize {
    (running * 100).div_ceil(slots.max(1))
}
