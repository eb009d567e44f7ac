//! One request while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use glyph_model::ModelError;
use glyph_model::generate::{
    Answer, AnswerStep, DeviceSampler, FinishReason, ImageEncoding, part_features,
};
use glyph_model::prompt::Prompt;
use glyph_model::text::KvCache;
use tokio::sync::mpsc::UnboundedSender;

use crate::error::EngineError;
use crate::prefix_cache::PositionKey;
use crate::prepare::{Page, PageSource, Prepared};
use crate::request::{Done, Event, Request, Times, Token, TokenLogprobs, Usage};

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub request: Request,
    /// Bytes of keys and values that it will hold.
    pub kv_bytes: u64,
    pub events: UnboundedSender<Event>,
    pub cancelled: Arc<AtomicBool>,
    pub since: Instant,
}

impl Waiting {
    /// Nobody listens any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.events.is_closed()
    }
}

/// Where a sequence is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// This page is next for the vision tower.
    Encoding(usize),
    /// This position is next for the decoder.
    Prefilling(usize),
    /// This token is next for the decoder, behind so many positions.
    Decoding {
        /// Its id.
        id: u32,
        /// Positions in the cache before it.
        len: usize,
    },
}

/// What a step brings for one sequence.
#[derive(Debug)]
pub(crate) enum Next {
    /// Scores `[vocab]` of the next token.
    Scores(Vec<f32>),
    /// The next token, chosen on the device; `None` where no score was a number.
    Chosen(Option<u32>),
}

/// A page between two blocks of the vision tower.
#[derive(Debug)]
pub(crate) struct Encoding {
    pub encoding: ImageEncoding,
    /// What it has taken so far.
    pub seconds: f64,
}

/// A request that has its memory and runs.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub caller: String,
    pub prompt: Prompt,
    pub pages: Vec<Page>,
    /// Row of each page's first vision token among the prompt's.
    pub page_starts: Vec<usize>,
    pub keys: Vec<PositionKey>,
    pub answer: Answer,
    pub cache: KvCache,
    pub kv_bytes: u64,
    pub phase: Phase,
    /// The page that is next, if it has begun.
    pub encoding: Option<Encoding>,
    /// What chooses its tokens, where only they come back from the device.
    pub device_sampler: Option<DeviceSampler>,
    top_logprobs: Option<usize>,
    cached_tokens: usize,
    events: UnboundedSender<Event>,
    /// Tokens that are not told yet.
    untold: Vec<Token>,
    /// Whether text has been told.
    has_told_text: bool,
    cancelled: Arc<AtomicBool>,
    since: Instant,
    times: Times,
}

impl Sequence {
    /// Begins; `shared` positions are in the cache already.
    pub fn new(
        waiting: Waiting,
        answer: Answer,
        cache: KvCache,
        keys: Vec<PositionKey>,
        merge_size: usize,
        device: &Device,
    ) -> Self {
        let Waiting {
            request,
            kv_bytes,
            events,
            cancelled,
            since,
        } = waiting;
        let Prepared { prompt, pages } = request.prepared;
        let mut start = 0;
        let page_starts = pages
            .iter()
            .map(|page| {
                let first = start;
                start += page.grid.n_tokens(merge_size);
                first
            })
            .collect();
        let shared = cache.len();
        // Log-probabilities need all scores, and whoever has them chooses by them.
        let device_sampler = match request.top_logprobs {
            None => answer.device_sampler(device),
            Some(_) => None,
        };
        let queue_s = since.elapsed().as_secs_f64();
        let mut sequence = Self {
            caller: request.caller,
            prompt,
            pages,
            page_starts,
            keys,
            answer,
            cache,
            kv_bytes,
            phase: Phase::Encoding(0),
            encoding: None,
            device_sampler,
            top_logprobs: request.top_logprobs,
            cached_tokens: shared,
            events,
            untold: Vec::new(),
            has_told_text: false,
            cancelled,
            since: Instant::now(),
            times: Times {
                queue_s,
                ..Times::default()
            },
        };
        let cached_pages = sequence
            .pages
            .iter()
            .filter(|page| matches!(page.source, PageSource::Features(_)))
            .count();
        sequence.send(Event::Started {
            waited_s: queue_s,
            cached_tokens: shared,
            cached_pages,
        });
        sequence.go_on_encoding(0);
        sequence
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.events.is_closed()
    }

    pub fn is_decoding(&self) -> bool {
        matches!(self.phase, Phase::Decoding { .. })
    }

    /// Whether the cache holds what the tokens say: all of prompt and answer but the newest token.
    pub fn is_consistent(&self) -> bool {
        let n_tokens = self.prompt.ids.len() + self.answer.ids().len();
        self.cache.is_whole() && self.cache.len() + 1 == n_tokens
    }

    /// Whether the vision tower is next.
    pub fn needs_vision(&self) -> bool {
        matches!(self.phase, Phase::Encoding(_))
    }

    /// Passes over pages that need no encoding: those with features, and those that the shared positions hold.
    pub fn go_on_encoding(&mut self, from: usize) {
        let needed = self.first_needed_feature();
        let next = (from..self.pages.len()).find(|page| {
            let end = self
                .page_starts
                .get(page + 1)
                .copied()
                .unwrap_or(usize::MAX);
            end > needed && !matches!(self.pages[*page].source, PageSource::Features(_))
        });
        self.phase = match next {
            Some(page) => Phase::Encoding(page),
            None => {
                self.times.encode_s = self.lap();
                // Pixels that no one will look at are not kept through the answer.
                for page in &mut self.pages {
                    if let PageSource::Pixels(image) = &mut page.source {
                        image.rgb = Vec::new();
                    }
                }
                Phase::Prefilling(self.cache.len())
            }
        };
    }

    /// Row of the first vision token behind the shared positions.
    fn first_needed_feature(&self) -> usize {
        let rest = &self.prompt.feature_index[self.cache.len()..];
        rest.iter().flatten().next().copied().unwrap_or(usize::MAX)
    }

    /// The features of a page have come.
    pub fn encoded(&mut self, page: usize, features: Tensor<2>) {
        self.pages[page].source = PageSource::Features(features);
        self.send(Event::Encoded {
            pages: page + 1,
            of: self.pages.len(),
        });
        self.go_on_encoding(page + 1);
    }

    /// Features for the positions of a chunk, and for each position its row in them.
    pub fn features(
        &self,
        chunk: std::ops::Range<usize>,
    ) -> (Option<Tensor<2>>, Vec<Option<usize>>) {
        let of_page = |page: usize| match &self.pages.get(page)?.source {
            PageSource::Features(features) => Some(features.clone()),
            PageSource::Pixels(_) => None,
        };
        let index = &self.prompt.feature_index[chunk];
        part_features(index, &self.page_starts, of_page)
    }

    /// So many positions of the prompt have passed the decoder.
    pub fn prefilled(&mut self, positions: usize) {
        self.send(Event::Prefilled {
            positions,
            of: self.prompt.ids.len(),
        });
        self.phase = Phase::Prefilling(positions);
    }

    /// What is behind the last position has come: its scores, by which a token is chosen, or the token. Returns
    /// whether the answer has ended.
    pub fn push(&mut self, next: Next) -> Result<bool, EngineError> {
        match next {
            Next::Chosen(id) => {
                let step = self.answer.push_chosen(id);
                self.push_step(step, None)
            }
            Next::Scores(mut logits) => {
                let scores = self.top_logprobs.map(|n_top| (logits.clone(), n_top));
                let step = self.answer.push(&mut logits);
                let logprobs = |id| scores.map(|(scores, n_top)| logprobs(&scores, id, n_top));
                let of_step = step.as_ref().ok().and_then(|step| logprobs(step.id));
                self.push_step(step, of_step)
            }
        }
    }

    fn push_step(
        &mut self,
        step: Result<AnswerStep, ModelError>,
        logprobs: Option<TokenLogprobs>,
    ) -> Result<bool, EngineError> {
        let step = step.map_err(|error| EngineError::Device {
            reason: error.to_string(),
        })?;
        if self.answer.ids().len() == 1 {
            self.times.prefill_s = self.lap();
        }
        self.phase = Phase::Decoding {
            id: step.id,
            len: self.cache.len(),
        };
        self.untold.push(Token {
            id: step.id,
            text: step.text,
            logprobs,
            chosen: Instant::now(),
        });
        if let Some(reason) = step.finished {
            self.done(reason);
        } else if !self.has_told_text {
            self.tell_all();
        }
        Ok(step.finished.is_some())
    }

    /// Rotary position of the token that is next for the decoder.
    pub fn next_position(&self) -> u32 {
        self.prompt.positions.next + self.answer.ids().len().saturating_sub(1) as u32
    }

    /// What the positions in the cache are, prompt and answer.
    pub fn cached_keys(&self) -> Vec<PositionKey> {
        let answer = self.answer.ids().iter().map(|id| PositionKey::Text(*id));
        let keys = self.keys.iter().copied().chain(answer);
        keys.take(self.cache.len()).collect()
    }

    pub fn fail(&mut self, error: EngineError) {
        self.send(Event::Failed(error));
    }

    fn done(&mut self, finish_reason: FinishReason) {
        self.times.decode_s = self.lap();
        let prompt = &self.prompt;
        self.send(Event::Done(Done {
            finish_reason,
            usage: Usage {
                prompt_text_tokens: prompt.n_text_tokens(),
                prompt_image_tokens: prompt.n_image_tokens(),
                cached_tokens: self.cached_tokens,
                completion_tokens: self.answer.ids().len(),
            },
            times: self.times,
        }));
    }

    /// Tells that it ends without an answer, from wherever it is: see [`Farewell`].
    pub fn farewell(&self) -> Farewell {
        Farewell {
            events: self.events.clone(),
            cancelled: Arc::clone(&self.cancelled),
        }
    }

    /// Tells what is untold: the next token may be long in coming.
    pub fn tell_all(&mut self) {
        for token in std::mem::take(&mut self.untold) {
            // The first text is waited for.
            self.has_told_text |= !token.text.is_empty();
            self.send_now(Event::Token(token));
        }
    }

    /// Behind the tokens before it.
    fn send(&mut self, event: Event) {
        self.tell_all();
        self.send_now(event);
    }

    fn send_now(&self, event: Event) {
        // Nothing follows an end that was told elsewhere. Who has gone is noticed at the next boundary.
        if !self.cancelled.load(Ordering::Relaxed) {
            let _ = self.events.send(event);
        }
    }

    /// Seconds since the last lap.
    fn lap(&mut self) -> f64 {
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        seconds
    }
}

/// Ends a request that is out of reach because a piece of it is being computed.
#[derive(Debug)]
pub(crate) struct Farewell {
    events: UnboundedSender<Event>,
    cancelled: Arc<AtomicBool>,
}

impl Farewell {
    pub fn say(self, error: EngineError) {
        let _ = self.events.send(Event::Failed(error));
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Log-probabilities of the chosen and of the `n_top` most likely tokens, the lower id first where two are as likely.
fn logprobs(scores: &[f32], chosen: u32, n_top: usize) -> TokenLogprobs {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - most).exp()).sum();
    let norm = most + sum.ln();
    // Few are asked for of many: one walk keeps the best so far in order.
    let mut top: Vec<(u32, f32)> = Vec::with_capacity(n_top.min(scores.len()) + 1);
    for (id, score) in (0..).zip(scores.iter().copied()) {
        let is_better = top.len() < n_top || top.last().is_some_and(|(_, least)| score > *least);
        if n_top > 0 && is_better && !score.is_nan() {
            let place = top.partition_point(|(_, other)| *other >= score);
            top.insert(place, (id, score));
            top.truncate(n_top);
        }
    }
    TokenLogprobs {
        chosen: scores.get(chosen as usize).map_or(f32::NAN, |s| s - norm),
        top: top.iter().map(|(id, score)| (*id, score - norm)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::logprobs;

    #[test]
    fn the_most_likely_come_in_order_as_a_sort_of_all_would_have_them() {
        // Many equal scores, and some that are no numbers.
        let scores: Vec<f32> = (0..1000_u32)
            .map(|n| match n % 97 {
                0 => f32::NAN,
                1 => f32::NEG_INFINITY,
                _ => (n.wrapping_mul(2_654_435_761) >> 26) as f32 / 7.0,
            })
            .collect();
        let mut order: Vec<u32> = (0..1000)
            .filter(|n| !scores[*n as usize].is_nan())
            .collect();
        order.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
        for n_top in [0, 1, 5, 20] {
            let top = logprobs(&scores, 3, n_top).top;
            let ids: Vec<u32> = top.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, order[..n_top]);
        }
        assert_eq!(logprobs(&[0.5, 0.25], 1, 20).top.len(), 2);
        let both: f32 = logprobs(&[0.5, 0.25], 1, 2)
            .top
            .iter()
            .map(|t| t.1.exp())
            .sum();
        assert!((both - 1.0).abs() < 1e-6);
    }
}
