//! What is counted, under which names and in which buckets.

use std::sync::Arc;

use glyph_device::GpuReading;
use glyph_engine::{CacheStats, Engine, EngineState, Observation, Observer, Usage};
use metrics::{counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::machine;

const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0, 1200.0,
];
const STEP_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0];

/// Requests by route and status.
pub const REQUESTS: &str = "glyph_requests_total";
/// Requests that are being answered.
pub const IN_FLIGHT: &str = "glyph_requests_in_flight";
/// Heads that were refused before they were requests, by reason.
pub const REFUSED_HEADS: &str = "glyph_refused_heads_total";
/// From the request's first byte to the answer's last.
pub const REQUEST_SECONDS: &str = "glyph_request_seconds";
/// Requests that were refused or failed, by code of the error.
pub const REJECTIONS: &str = "glyph_rejections_total";
/// Requests that wait: for a core to prepare them, or for a place in the batch.
pub const QUEUE_LENGTH: &str = "glyph_queue_length";
/// How long they waited.
pub const QUEUE_SECONDS: &str = "glyph_queue_wait_seconds";
/// From the request to its first token.
pub const FIRST_TOKEN_SECONDS: &str = "glyph_time_to_first_token_seconds";
/// Between two tokens of an answer.
pub const INTER_TOKEN_SECONDS: &str = "glyph_inter_token_seconds";
/// Tokens of prompts by kind: text, image; and those of both that were not computed again.
pub const PROMPT_TOKENS: &str = "glyph_prompt_tokens_total";
/// Tokens of answers.
pub const GENERATED_TOKENS: &str = "glyph_generated_tokens_total";
/// Pages drawn from text.
pub const PAGES_RENDERED: &str = "glyph_pages_rendered_total";
/// Time to draw a document.
pub const RENDER_SECONDS: &str = "glyph_render_seconds";
/// Time of a page in the vision tower.
pub const ENCODE_SECONDS: &str = "glyph_vision_encode_seconds";
/// Time of a piece of a prompt in the decoder.
pub const PREFILL_SECONDS: &str = "glyph_prefill_chunk_seconds";
/// Time of a step of the decoder.
pub const DECODE_SECONDS: &str = "glyph_decode_step_seconds";
/// Answers that share a step of the decoder.
pub const BATCH_SIZE: &str = "glyph_batch_size";
/// Requests that have a place in the batch.
pub const RUNNING: &str = "glyph_requests_running";
/// Keys and values: used and planned.
pub const KV_BYTES: &str = "glyph_kv_bytes";
/// The same, planned.
pub const KV_PLANNED_BYTES: &str = "glyph_kv_planned_bytes";
/// Look-ups that a cache could answer.
pub const CACHE_HITS: &str = "glyph_cache_hits_total";
/// Look-ups that a cache could not answer.
pub const CACHE_MISSES: &str = "glyph_cache_misses_total";
/// Entries that a cache has given up.
pub const CACHE_EVICTIONS: &str = "glyph_cache_evictions_total";
/// Bytes in a cache.
pub const CACHE_BYTES: &str = "glyph_cache_bytes";
/// Bytes that a cache may take.
pub const CACHE_LIMIT_BYTES: &str = "glyph_cache_limit_bytes";
/// 1 for the state that the engine is in.
pub const ENGINE_STATE: &str = "glyph_engine_state";
/// Memory of the process.
pub const PROCESS_BYTES: &str = "process_resident_memory_bytes";
/// Open files and connections of the process.
pub const PROCESS_FDS: &str = "process_open_fds";
/// Memory of an NVIDIA device that is in use.
pub const DEVICE_USED_BYTES: &str = "glyph_device_memory_used_bytes";
/// All memory of an NVIDIA device.
pub const DEVICE_TOTAL_BYTES: &str = "glyph_device_memory_total_bytes";
/// Share of time that an NVIDIA device computes, from 0 to 1.
pub const DEVICE_UTILIZATION: &str = "glyph_device_utilization_ratio";
/// Temperature of an NVIDIA device.
pub const DEVICE_CELSIUS: &str = "glyph_device_temperature_celsius";

/// Every histogram with its help and its buckets.
const HISTOGRAMS: [(&str, &str, &[f64]); 9] = [
    (
        REQUEST_SECONDS,
        "Time from a request to the end of its answer, by route",
        SECONDS,
    ),
    (
        QUEUE_SECONDS,
        "Time that requests waited for a place in the batch",
        SECONDS,
    ),
    (
        FIRST_TOKEN_SECONDS,
        "Time from a request to its first token",
        SECONDS,
    ),
    (
        INTER_TOKEN_SECONDS,
        "Time between two tokens of an answer",
        STEP_SECONDS,
    ),
    (RENDER_SECONDS, "Time to draw a document's pages", SECONDS),
    (
        ENCODE_SECONDS,
        "Time of a page in the vision tower",
        SECONDS,
    ),
    (
        PREFILL_SECONDS,
        "Time of a piece of a prompt in the decoder",
        STEP_SECONDS,
    ),
    (
        DECODE_SECONDS,
        "Time of a step of the decoder",
        STEP_SECONDS,
    ),
    (BATCH_SIZE, "Answers that share a step of the decoder", ROWS),
];

const COUNTERS: [(&str, &str); 9] = [
    (REQUESTS, "Requests by route and status"),
    (
        REJECTIONS,
        "Requests that were refused or failed, by code of the error",
    ),
    (
        REFUSED_HEADS,
        "Heads that were refused before they were requests, by reason",
    ),
    (
        PROMPT_TOKENS,
        "Tokens of prompts by kind: text, image, and cached of both",
    ),
    (GENERATED_TOKENS, "Tokens of answers"),
    (PAGES_RENDERED, "Pages drawn from text"),
    (CACHE_HITS, "Look-ups that a cache could answer"),
    (CACHE_MISSES, "Look-ups that a cache could not answer"),
    (CACHE_EVICTIONS, "Entries that a cache gave up for others"),
];

const GAUGES: [(&str, &str); 14] = [
    (IN_FLIGHT, "Requests that are being answered"),
    (
        QUEUE_LENGTH,
        "Requests that wait for a core to prepare them or for a place in the batch",
    ),
    (RUNNING, "Requests that have a place in the batch"),
    (KV_BYTES, "Keys and values held for requests that run"),
    (
        KV_PLANNED_BYTES,
        "Keys and values that the memory plan has room for",
    ),
    (CACHE_BYTES, "Bytes in a cache"),
    (CACHE_LIMIT_BYTES, "Bytes that a cache may take"),
    (
        ENGINE_STATE,
        "1 for the state that the engine is in, 0 for the others",
    ),
    (PROCESS_BYTES, "Resident memory of the process"),
    (PROCESS_FDS, "Open files and connections of the process"),
    (
        DEVICE_USED_BYTES,
        "Memory of an NVIDIA device that is in use",
    ),
    (DEVICE_TOTAL_BYTES, "All memory of an NVIDIA device"),
    (
        DEVICE_UTILIZATION,
        "Share of time that an NVIDIA device computes",
    ),
    (DEVICE_CELSIUS, "Temperature of an NVIDIA device"),
];

const PROMPT_KINDS: [&str; 3] = ["text", "image", "cached"];

/// Why a head is refused.
pub(crate) const HEAD_FAULTS: [&str; 3] = ["malformed", "too_large", "http2"];

const STATES: [&str; 6] = [
    "starting", "loading", "ready", "draining", "stopped", "failed",
];

/// A server's own counters; clones share them. It observes the engine.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

/// Why the metrics cannot be set up: a bucket list is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be set up: {0}")]
pub struct MetricsError(#[from] metrics_exporter_prometheus::BuildError);

impl Metrics {
    /// Counters that stand at 0.
    ///
    /// # Errors
    /// When a histogram has no buckets.
    pub fn new() -> Result<Self, MetricsError> {
        let builder = HISTOGRAMS.iter().try_fold(
            PrometheusBuilder::new(),
            |builder, (name, _, buckets)| {
                builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)
            },
        )?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let metrics = Self(Arc::new(Inner { recorder, handle }));
        metrics.count(|| {
            for (name, help, _) in HISTOGRAMS {
                metrics::describe_histogram!(name, help);
            }
            for (name, help) in COUNTERS {
                metrics::describe_counter!(name, help);
            }
            for (name, help) in GAUGES {
                metrics::describe_gauge!(name, help);
            }
            // Seen from the start: a rate over a series needs a first value.
            for name in [GENERATED_TOKENS, PAGES_RENDERED] {
                counter!(name).absolute(0);
            }
            for kind in PROMPT_KINDS {
                counter!(PROMPT_TOKENS, "kind" => kind).absolute(0);
            }
            for reason in HEAD_FAULTS {
                counter!(REFUSED_HEADS, "reason" => reason).absolute(0);
            }
        });
        Ok(metrics)
    }

    fn count<T>(&self, work: impl FnOnce() -> T) -> T {
        with_local_recorder(&self.0.recorder, work)
    }

    /// Moves samples into their buckets; to be called now and then, so that they do not pile up.
    pub fn tidy(&self) {
        self.0.handle.run_upkeep();
    }

    /// All series as Prometheus text, those of engine and machine as they stand now. `n_waiting` requests wait before they
    /// come to the engine.
    pub fn text(&self, engine: &Engine, n_waiting: usize) -> String {
        self.count(|| {
            let stats = engine.stats();
            gauge!(QUEUE_LENGTH).set((n_waiting + stats.waiting) as f64);
            gauge!(RUNNING).set(stats.running as f64);
            gauge!(KV_BYTES).set(stats.kv_bytes as f64);
            gauge!(KV_PLANNED_BYTES).set(stats.kv_planned_bytes as f64);
            cache("vision", &stats.vision_cache);
            cache("prefix", &stats.prefix_cache);
            state(&engine.state());
            machine_gauges();
        });
        self.0.handle.render()
    }

    pub(crate) fn request_began(&self) {
        self.count(|| gauge!(IN_FLIGHT).increment(1.0));
    }

    pub(crate) fn request_ended(
        &self,
        route: &str,
        status: u16,
        code: Option<&'static str>,
        seconds: f64,
    ) {
        let route = route.to_owned();
        self.count(|| {
            gauge!(IN_FLIGHT).decrement(1.0);
            counter!(REQUESTS, "route" => route.clone(), "status" => status.to_string())
                .increment(1);
            histogram!(REQUEST_SECONDS, "route" => route).record(seconds);
            if let Some(code) = code {
                counter!(REJECTIONS, "reason" => code).increment(1);
            }
        });
    }

    /// For one of [`HEAD_FAULTS`].
    pub(crate) fn head_refused(&self, reason: &'static str) {
        self.count(|| counter!(REFUSED_HEADS, "reason" => reason).increment(1));
    }

    pub(crate) fn waited(&self, seconds: f64) {
        self.count(|| histogram!(QUEUE_SECONDS).record(seconds));
    }

    pub(crate) fn first_token(&self, seconds: f64) {
        self.count(|| histogram!(FIRST_TOKEN_SECONDS).record(seconds));
    }

    pub(crate) fn next_token(&self, seconds: f64) {
        self.count(|| histogram!(INTER_TOKEN_SECONDS).record(seconds));
    }

    pub(crate) fn token(&self) {
        self.count(|| counter!(GENERATED_TOKENS).increment(1));
    }

    pub(crate) fn prompt(&self, usage: &Usage) {
        self.count(|| {
            let counts = [
                usage.prompt_text_tokens,
                usage.prompt_image_tokens,
                usage.cached_tokens,
            ];
            for (kind, n_tokens) in PROMPT_KINDS.into_iter().zip(counts) {
                counter!(PROMPT_TOKENS, "kind" => kind).increment(n_tokens as u64);
            }
        });
    }

    pub(crate) fn rendered(&self, pages: usize, seconds: f64) {
        self.count(|| {
            counter!(PAGES_RENDERED).increment(pages as u64);
            histogram!(RENDER_SECONDS).record(seconds);
        });
    }
}

impl Observer for Metrics {
    fn observe(&self, observation: Observation) {
        self.count(|| match observation {
            Observation::DecodeStep { rows, seconds } => {
                histogram!(BATCH_SIZE).record(rows as f64);
                histogram!(DECODE_SECONDS).record(seconds);
            }
            Observation::Encoded { seconds, .. } => histogram!(ENCODE_SECONDS).record(seconds),
            Observation::Prefilled { seconds, .. } => histogram!(PREFILL_SECONDS).record(seconds),
        });
    }
}

fn cache(name: &'static str, stats: &CacheStats) {
    counter!(CACHE_HITS, "cache" => name).absolute(stats.hits);
    counter!(CACHE_MISSES, "cache" => name).absolute(stats.misses);
    counter!(CACHE_EVICTIONS, "cache" => name).absolute(stats.evictions);
    gauge!(CACHE_BYTES, "cache" => name).set(stats.bytes as f64);
    gauge!(CACHE_LIMIT_BYTES, "cache" => name).set(stats.most_bytes as f64);
}

fn state(now: &EngineState) {
    for name in STATES {
        gauge!(ENGINE_STATE, "state" => name).set(f64::from(u8::from(name == now.name())));
    }
}

fn machine_gauges() {
    if let Some(bytes) = machine::resident_bytes() {
        gauge!(PROCESS_BYTES).set(bytes as f64);
    }
    if let Some(n_files) = machine::open_files() {
        gauge!(PROCESS_FDS).set(n_files as f64);
    }
    for gpu in glyph_device::gpu_readings() {
        gpu_gauges(&gpu);
    }
}

fn gpu_gauges(gpu: &GpuReading) {
    let of = |name: &'static str, value: Option<f64>| {
        if let Some(value) = value {
            gauge!(name, "gpu" => gpu.index.to_string(), "name" => gpu.name.clone()).set(value);
        }
    };
    of(DEVICE_USED_BYTES, gpu.used_bytes.map(|bytes| bytes as f64));
    of(
        DEVICE_TOTAL_BYTES,
        gpu.total_bytes.map(|bytes| bytes as f64),
    );
    of(DEVICE_UTILIZATION, gpu.utilization);
    of(DEVICE_CELSIUS, gpu.celsius);
}

#[cfg(test)]
mod tests {
    use glyph_device::GpuReading;

    use super::{Metrics, gpu_gauges};

    #[test]
    fn what_a_gpu_reports_is_told_under_its_number_and_name() {
        let metrics = Metrics::new().unwrap();
        let first = GpuReading {
            index: 0,
            name: "NVIDIA H100".to_owned(),
            used_bytes: Some(3 << 30),
            total_bytes: Some(80 << 30),
            utilization: Some(0.25),
            celsius: Some(41.0),
        };
        // One that tells nothing but what it is.
        let second = GpuReading {
            index: 1,
            name: "Tesla K80".to_owned(),
            ..GpuReading::default()
        };
        metrics.count(|| {
            gpu_gauges(&first);
            gpu_gauges(&second);
        });
        let text = metrics.0.handle.render();
        for (series, value) in [
            ("glyph_device_memory_used_bytes", "3221225472"),
            ("glyph_device_memory_total_bytes", "85899345920"),
            ("glyph_device_utilization_ratio", "0.25"),
            ("glyph_device_temperature_celsius", "41"),
        ] {
            let line = format!("{series}{{gpu=\"0\",name=\"NVIDIA H100\"}} {value}\n");
            assert!(text.contains(&line), "no {line:?} in\n{text}");
            assert!(text.contains(&format!("# HELP {series} ")), "{text}");
            assert!(text.contains(&format!("# TYPE {series} gauge\n")), "{text}");
        }
        assert!(!text.contains("K80"), "{text}");
    }
}
