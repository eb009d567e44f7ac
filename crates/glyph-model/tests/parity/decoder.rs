//! The decoder without and with its cache.

use burn::tensor::{Tensor, TensorData};
use glyph_model::generate::encode_images;
use glyph_model::prompt::Prompt;
use glyph_model::text::{KvCache, Positions};
use glyph_model::{Checkpoint, ModelError};
use serde_json::Value;

use crate::common::{
    CONFIGS, Fixture, PROMPTS, assert_close, floats, grids, ids, json, open, patches, pick, text,
};

/// A checkpoint with what the reference made of it.
struct Case {
    config: &'static str,
    checkpoint: Checkpoint,
    rows: Value,
    want: Fixture,
}

impl Case {
    fn open(config: &'static str) -> Self {
        Self {
            config,
            checkpoint: open(config),
            rows: json(&format!("{config}/cases.json")),
            want: Fixture::open(&format!("{config}/decoder.safetensors")),
        }
    }

    fn prompt(&self, name: &str) -> Prompt {
        let row = &self.rows[name];
        let grids = grids(&row["image_grid_thw"]);
        self.checkpoint
            .settings
            .encoder
            .from_expanded(ids(&row["input_ids"]), &grids)
            .unwrap()
    }

    /// `[1, length, d]`.
    fn embedded(&self, name: &str) -> Tensor<3> {
        let prompt = self.prompt(name);
        let images = patches(&self.checkpoint, &self.rows[name]);
        let features = encode_images(&self.checkpoint.model, &images, &self.checkpoint.device);
        self.checkpoint.model.embed(
            &prompt.ids,
            [1, prompt.ids.len()],
            features,
            &prompt.feature_index,
        )
    }

    fn cache(&self, capacity: usize) -> KvCache {
        let Checkpoint {
            settings,
            dtype,
            device,
            ..
        } = &self.checkpoint;
        KvCache::new(&settings.config.text_config, capacity, *dtype, device)
    }

    /// Compares the kept rows of `[1, length, width]` with the fixture.
    fn assert_rows(&self, name: &str, rows: &str, stage: &str, got: Tensor<3>) {
        let width = got.dims()[2];
        let kept = self.want.integers(&format!("{name}.{rows}"));
        let name = format!("{name}.{stage}");
        let got = pick(&floats(got), width, &kept);
        assert_close(
            &format!("{} {name}", self.config),
            &got,
            &self.want.floats(&name),
        );
    }

    /// Runs a prompt into a cache in chunks; returns all hidden states.
    fn prefill(&self, name: &str, cache: &mut KvCache, chunk: usize) -> Tensor<3> {
        let (x, prompt) = (self.embedded(name), self.prompt(name));
        let positions = prompt.positions.positions.chunks(chunk);
        let decoder = &self.checkpoint.model.model.language_model;
        let hidden: Vec<Tensor<3>> = x
            .split(chunk, 1)
            .into_iter()
            .zip(positions)
            .map(|(part, positions)| {
                decoder
                    .forward_cached(part, Positions(positions), &mut [&mut *cache])
                    .unwrap()
            })
            .collect();
        Tensor::cat(hidden, 1)
    }

    /// The most likely token after each row of `[rows, 1, d]`, and the logits.
    fn next(&self, hidden: Tensor<3>) -> (Vec<u32>, Vec<f32>) {
        let logits = self.checkpoint.model.logits(hidden);
        let best = logits
            .clone()
            .argmax(2)
            .into_data()
            .iter::<i64>()
            .map(|id| id as u32)
            .collect();
        (best, floats(logits))
    }
}

#[test]
fn every_stage_is_that_of_the_reference() {
    for config in CONFIGS {
        let case = Case::open(config);
        let model = &case.checkpoint.model;
        for name in PROMPTS {
            let x = case.embedded(name);
            case.assert_rows(name, "rows", "inputs_embeds", x.clone());
            let prompt = case.prompt(name);
            let mut n_layers = 0;
            let hidden = model.model.language_model.forward_observed(
                x,
                Positions(&prompt.positions.positions),
                |n, x| {
                    case.assert_rows(name, "rows", &format!("layers.{n}"), x.clone());
                    n_layers += 1;
                },
            );
            assert_eq!(
                n_layers,
                case.checkpoint
                    .settings
                    .config
                    .text_config
                    .num_hidden_layers
            );
            case.assert_rows(name, "rows", "norm", hidden.clone());
            case.assert_rows(name, "logit_rows", "logits", model.logits(hidden));
        }
    }
}

#[test]
fn chunks_through_the_cache_give_what_the_whole_prompt_gives() {
    for config in CONFIGS {
        let case = Case::open(config);
        for (name, chunks) in [
            ("images", &[1, 7, 64][..]),
            ("two_turn", &[7, 1000]),
            ("long", &[64, 100]),
        ] {
            for chunk in chunks {
                let n = case.prompt(name).ids.len();
                let mut cache = case.cache(n);
                let hidden = case.prefill(name, &mut cache, *chunk);
                assert_eq!(cache.len(), n);
                case.assert_rows(name, "rows", "norm", hidden.clone());
                case.assert_rows(
                    name,
                    "logit_rows",
                    "logits",
                    case.checkpoint.model.logits(hidden),
                );
            }
        }
    }
}

#[test]
fn one_token_at_a_time_gives_the_greedy_tokens_of_the_reference() {
    for config in CONFIGS {
        let case = Case::open(config);
        let decoder = &case.checkpoint.model.model.language_model;
        for name in ["one_image", "two_turn"] {
            let prompt = case.prompt(name);
            let n = prompt.ids.len();
            let want = case.want.token_ids(&format!("{name}.greedy_ids"));
            let steps = case.want.integers(&format!("{name}.greedy_steps"));
            let mut cache = case.cache(n + want.len());
            let mut hidden = case.prefill(name, &mut cache, 64).narrow(1, n - 1, 1);
            let mut kept = Vec::new();
            let mut ids: Vec<u32> = Vec::new();
            for step in 0..want.len() {
                let (next, logits) = case.next(hidden);
                if steps.contains(&step) {
                    kept.extend(logits);
                }
                ids.extend(&next);
                let x = case.checkpoint.model.embed(&next, [1, 1], None, &[]);
                let positions = [[prompt.positions.next + step as u32; 3]];
                hidden = decoder
                    .forward_cached(x, Positions(&positions), &mut [&mut cache])
                    .unwrap();
            }
            assert_eq!(ids, want, "{config} {name}");
            let name = format!("{name}.greedy_logits");
            assert_close(&format!("{config} {name}"), &kept, &case.want.floats(&name));
        }
    }
}

#[test]
fn rows_of_unequal_length_decode_together_as_they_do_alone() {
    for config in CONFIGS {
        let case = Case::open(config);
        let decoder = &case.checkpoint.model.model.language_model;
        let names: Vec<&str> = case.rows["batch"]["prompts"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let prompts: Vec<Prompt> = names.iter().map(|name| case.prompt(name)).collect();
        let want = case.want.token_ids("batch.greedy_ids");
        let n_new = want.len() / names.len();

        let mut caches: Vec<KvCache> = prompts
            .iter()
            .map(|prompt| case.cache(prompt.ids.len() + n_new))
            .collect();
        let last: Vec<Tensor<3>> = names
            .iter()
            .zip(&mut caches)
            .map(|(name, cache)| {
                let hidden = case.prefill(name, cache, 1000);
                let n = hidden.dims()[1];
                hidden.narrow(1, n - 1, 1)
            })
            .collect();
        let mut hidden = Tensor::cat(last, 0);
        let what = |name: &str| format!("{config} batch.{name}");
        assert_close(
            &what("last_hidden"),
            &floats(hidden.clone()),
            &case.want.floats("batch.last_hidden"),
        );
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); names.len()];
        for step in 0..n_new {
            let (next, logits) = case.next(hidden);
            if step == 0 {
                assert_close(
                    &what("last_logits"),
                    &logits,
                    &case.want.floats("batch.last_logits"),
                );
            }
            rows.iter_mut()
                .zip(&next)
                .for_each(|(row, id)| row.push(*id));
            let x = case
                .checkpoint
                .model
                .embed(&next, [names.len(), 1], None, &[]);
            let positions: Vec<[u32; 3]> = prompts
                .iter()
                .map(|prompt| [prompt.positions.next + step as u32; 3])
                .collect();
            let mut caches: Vec<&mut KvCache> = caches.iter_mut().collect();
            hidden = decoder
                .forward_cached(x, Positions(&positions), &mut caches)
                .unwrap();
        }
        assert_eq!(rows.concat(), want, "{config}");
        for (name, row) in names.iter().zip(rows) {
            assert_eq!(
                row,
                case.want.token_ids(&format!("{name}.greedy_ids")),
                "{config} {name}"
            );
        }
    }
}

#[test]
fn a_cache_that_is_used_again_remembers_nothing() {
    let case = Case::open("base");
    let n = case.prompt("images").ids.len();
    let mut cache = case.cache(n);
    case.prefill("images", &mut cache, n);
    cache.truncate(0);
    let hidden = case.prefill("text", &mut cache, 10);
    case.assert_rows("text", "rows", "norm", hidden);
}

#[test]
fn a_prefix_goes_on_in_another_cache_as_in_its_own() {
    for config in CONFIGS {
        let case = Case::open(config);
        let decoder = &case.checkpoint.model.model.language_model;
        let (prompt, x) = (case.prompt("two_turn"), case.embedded("two_turn"));
        let n = prompt.ids.len();
        let mut first = case.cache(n);
        let whole = case.prefill("two_turn", &mut first, n);
        let prefix = first.prefix(n);
        assert_eq!(prefix.len(), n);
        for shared in [1, n / 2, n - 1] {
            let mut second = case.cache(n + 3);
            second.restore(&prefix, shared).unwrap();
            assert_eq!(second.len(), shared);
            let rest = x.clone().narrow(1, shared, n - shared);
            let positions = Positions(&prompt.positions.positions[shared..]);
            let hidden = decoder
                .forward_cached(rest, positions, &mut [&mut second])
                .unwrap();
            let want = whole.clone().narrow(1, shared, n - shared);
            assert_close(config, &floats(hidden), &floats(want));
        }
        let error = case.cache(n - 1).restore(&prefix, n).unwrap_err();
        assert!(matches!(error, ModelError::ContextOverflow { .. }));
    }
}

#[test]
fn padding_behind_a_row_does_not_reach_it() {
    let case = Case::open("gqa-tied-bf16");
    let decoder = &case.checkpoint.model.model.language_model;
    let (short, long) = (case.prompt("one_image"), case.prompt("images"));
    let n_padding = long.ids.len() - short.ids.len();
    let (x_short, x_long) = (case.embedded("one_image"), case.embedded("images"));
    let padding = x_long.clone().narrow(1, 0, n_padding);
    let x = Tensor::cat(vec![Tensor::cat(vec![x_short, padding], 1), x_long], 0);
    let mut positions = short.positions.positions.clone();
    positions.extend((0..n_padding as u32).map(|i| [short.positions.next + i; 3]));
    positions.extend(&long.positions.positions);
    let hidden = decoder.forward(x, Positions(&positions));
    case.assert_rows("one_image", "rows", "norm", hidden.clone().narrow(0, 0, 1));
    case.assert_rows("images", "rows", "norm", hidden.narrow(0, 1, 1));
}

#[test]
fn a_full_cache_and_rows_without_one_are_refused() {
    let case = Case::open("base");
    let decoder = &case.checkpoint.model.model.language_model;
    let d = case.checkpoint.settings.config.text_config.hidden_size;
    let (mut one, mut other) = (case.cache(4), case.cache(9));
    let extend = |rows: usize, n_new: usize, caches: &mut [&mut KvCache]| {
        let values = vec![0.5_f32; rows * n_new * d];
        let x = Tensor::from_data(
            TensorData::new(values, [rows, n_new, d]),
            &case.checkpoint.device,
        );
        decoder
            .forward_cached(x, Positions(&vec![[0; 3]; rows * n_new]), caches)
            .map(|_| ())
    };
    extend(1, 3, &mut [&mut one]).unwrap();
    let error = extend(1, 2, &mut [&mut one]).unwrap_err();
    assert!(matches!(
        error,
        ModelError::ContextOverflow {
            prompt_tokens: 3,
            context_tokens: 4,
            ..
        }
    ));
    extend(2, 1, &mut [&mut one, &mut other]).unwrap();
    assert!(matches!(
        extend(2, 1, &mut [&mut other, &mut one]),
        Err(ModelError::ContextOverflow { .. })
    ));
    assert_eq!(
        (one.len(), other.len()),
        (4, 1),
        "a refused step leaves the others alone"
    );
    for rows in [0, 1, 3] {
        let error = extend(rows, 1, &mut [&mut other, &mut case.cache(4)]).unwrap_err();
        assert!(matches!(
            error,
            ModelError::Parameter { name: "caches", .. }
        ));
    }
}
