//! Which token comes next.

use std::collections::HashSet;

use burn::tensor::{Tensor, TensorData};
use futures_lite::future::block_on;
use glyph_model::ModelError;
use glyph_model::config::GenerationConfig;
use glyph_model::generate::{DeviceSampler, Sampler, SamplingParams, choose};
use serde_json::Value;

use crate::common::{device, ids, number, rows, text};

fn scores(value: &Value) -> Vec<f32> {
    let score = |value: &Value| {
        value
            .as_f64()
            .map_or(f32::NEG_INFINITY, |value| value as f32)
    };
    value.as_array().unwrap().iter().map(score).collect()
}

fn with(mut params: SamplingParams, step: &Value) -> SamplingParams {
    let value = step["value"].as_f64().unwrap() as f32;
    match text(&step["processor"]) {
        "repetition_penalty" => params.repetition_penalty = value,
        "temperature" => params.temperature = value,
        "top_k" => params.top_k = number(&step["value"]) as i64,
        "top_p" => params.top_p = value,
        other => panic!("{other}"),
    }
    params
}

/// Before the first step of a row: nothing is changed.
fn plain() -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        ..SamplingParams::default()
    }
}

fn softmax(scores: &[f32]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = scores
        .iter()
        .map(|score| f64::from(score - max).exp())
        .collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

#[test]
fn scores_are_those_of_the_reference_after_every_step() {
    for row in rows("sampling.json") {
        let name = text(&row["name"]);
        let logits = scores(&row["logits"]);
        let mut params = plain();
        let mut last = logits.clone();
        for step in row["steps"].as_array().unwrap() {
            params = with(params, step);
            let sampler =
                Sampler::new(params.clone(), &ids(&row["history"]), logits.len()).unwrap();
            last = logits.clone();
            sampler.process(&mut last);
            for (i, (got, want)) in last.iter().zip(scores(&step["scores"])).enumerate() {
                let same = *got == want || (got - want).abs() <= 1e-5 * want.abs();
                assert!(
                    same,
                    "{name}, {}: score {i} is {got}, not {want}",
                    step["processor"]
                );
            }
        }
        for (got, want) in softmax(&last)
            .into_iter()
            .zip(scores(&row["probabilities"]))
        {
            assert!((got - f64::from(want)).abs() < 1e-5, "{name}: {got} {want}");
        }
    }
}

fn sampler(params: SamplingParams, n: usize) -> Sampler {
    Sampler::new(params, &[], n).unwrap()
}

#[test]
fn draws_follow_the_probabilities() {
    let logits = [1.0_f32, 3.0, f32::NEG_INFINITY, 2.0, 0.0];
    let want = softmax(&logits);
    let params = SamplingParams {
        temperature: 1.0,
        seed: Some(1),
        ..SamplingParams::default()
    };
    let mut sampler = sampler(params, logits.len());
    let n = 20_000;
    let mut counts = [0_usize; 5];
    for _ in 0..n {
        counts[sampler.sample(&mut logits.clone()).unwrap() as usize] += 1;
    }
    for (count, want) in counts.into_iter().zip(want) {
        assert!((count as f64 / n as f64 - want).abs() < 0.012, "{counts:?}");
    }
}

#[test]
fn a_seed_fixes_the_draws() {
    let draws = |seed| {
        let params = SamplingParams {
            temperature: 2.0,
            seed,
            ..SamplingParams::default()
        };
        let mut sampler = sampler(params, 100);
        (0..40)
            .map(|_| sampler.sample(&mut [0.5; 100]).unwrap())
            .collect::<Vec<u32>>()
    };
    assert_eq!(draws(Some(7)), draws(Some(7)));
    assert_ne!(draws(Some(7)), draws(Some(8)));
    assert_ne!(draws(None), draws(None));
}

#[test]
fn top_k_and_top_p_leave_only_likely_tokens() {
    let logits: Vec<f32> = (0..50).map(|i| (i * 37 % 50) as f32 / 4.0).collect();
    let mut order: Vec<u32> = (0..50).collect();
    order.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
    let drawn = |params: SamplingParams| {
        let mut sampler = sampler(
            SamplingParams {
                temperature: 1.0,
                seed: Some(5),
                ..params
            },
            50,
        );
        let mut drawn: Vec<u32> = (0..2000)
            .map(|_| sampler.sample(&mut logits.clone()).unwrap())
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    };
    let sorted = |n: usize| {
        let mut best = order[..n].to_vec();
        best.sort_unstable();
        best
    };
    assert_eq!(
        drawn(SamplingParams {
            top_k: 3,
            ..SamplingParams::default()
        }),
        sorted(3)
    );
    assert_eq!(
        drawn(SamplingParams {
            top_k: 1,
            ..SamplingParams::default()
        }),
        sorted(1)
    );
    assert_eq!(
        drawn(SamplingParams {
            top_p: 1e-6,
            ..SamplingParams::default()
        }),
        sorted(1)
    );
    assert_eq!(
        drawn(SamplingParams {
            top_k: 4,
            top_p: 0.5,
            ..SamplingParams::default()
        }),
        sorted(2)
    );
    for top_k in [0, -1, i64::MAX] {
        assert!(
            drawn(SamplingParams {
                top_k,
                ..SamplingParams::default()
            })
            .len()
                > 10
        );
    }
}

#[test]
fn penalties_weigh_on_what_was_said() {
    let params = SamplingParams {
        presence_penalty: 1.0,
        frequency_penalty: 0.25,
        ..SamplingParams::default()
    };
    let mut sampler = Sampler::new(params, &[0, 0, 3], 4).unwrap();
    let logits = [1.0_f32, 2.0, 1.5, 0.0];
    // Greedy: token 1 falls from 2 to 0.75, then token 2 from 1.5 to 0.25, then 0 from 1.
    let said: Vec<u32> = (0..4)
        .map(|_| sampler.sample(&mut logits.clone()).unwrap())
        .collect();
    assert_eq!(said, [1, 2, 0, 1]);
    let mut left = logits;
    sampler.process(&mut left);
    // The prompt counts for the repetition penalty only.
    assert_eq!(left, [-0.25, 0.5, 0.25, 0.0]);

    let params = SamplingParams {
        repetition_penalty: 2.0,
        ..SamplingParams::default()
    };
    let sampler = Sampler::new(params, &[0, 1, 99], 4).unwrap();
    let mut left = [3.0_f32, -3.0, 3.0, -3.0];
    sampler.process(&mut left);
    assert_eq!(left, [1.5, -6.0, 3.0, -3.0]);
}

#[test]
fn logits_that_are_no_numbers_still_give_a_token() {
    for temperature in [0.0, 1e-40, 1e-6, 1.0] {
        for top_p in [0.5, 1.0] {
            let params = SamplingParams {
                temperature,
                top_p,
                top_k: 2,
                seed: Some(1),
                ..SamplingParams::default()
            };
            let mut sampler = sampler(params, 4);
            assert_eq!(sampler.sample(&mut [f32::NAN; 4]), None);
            assert_eq!(sampler.sample(&mut [f32::NEG_INFINITY; 4]), None);
            assert_eq!(
                sampler.sample(&mut [f32::NAN, -9.0, f32::NAN, f32::NAN]),
                Some(1)
            );
            assert_eq!(sampler.sample(&mut [0.0, 1.0, f32::INFINITY, 2.0]), Some(2));
            if temperature < 1e-5 {
                assert_eq!(sampler.sample(&mut [-7.0, -5.0, -6.0, -8.0]), Some(1));
            }
        }
    }
    assert_eq!(
        sampler(SamplingParams::default(), 3).sample(&mut [1.0, 4.0, 4.0]),
        Some(1)
    );
}

#[test]
fn parameters_out_of_range_are_named() {
    let good = SamplingParams::default;
    for (name, params) in [
        (
            "temperature",
            SamplingParams {
                temperature: -0.1,
                ..good()
            },
        ),
        (
            "temperature",
            SamplingParams {
                temperature: f32::NAN,
                ..good()
            },
        ),
        (
            "temperature",
            SamplingParams {
                temperature: f32::INFINITY,
                ..good()
            },
        ),
        (
            "top_p",
            SamplingParams {
                top_p: 0.0,
                ..good()
            },
        ),
        (
            "top_p",
            SamplingParams {
                top_p: 1.01,
                ..good()
            },
        ),
        (
            "top_p",
            SamplingParams {
                top_p: f32::NAN,
                ..good()
            },
        ),
        (
            "top_k",
            SamplingParams {
                top_k: -2,
                ..good()
            },
        ),
        (
            "repetition_penalty",
            SamplingParams {
                repetition_penalty: 0.0,
                ..good()
            },
        ),
        (
            "repetition_penalty",
            SamplingParams {
                repetition_penalty: f32::NAN,
                ..good()
            },
        ),
        (
            "presence_penalty",
            SamplingParams {
                presence_penalty: 101.0,
                ..good()
            },
        ),
        (
            "frequency_penalty",
            SamplingParams {
                frequency_penalty: f32::NAN,
                ..good()
            },
        ),
    ] {
        let error = Sampler::new(params, &[], 4).unwrap_err();
        let ModelError::Parameter { name: named, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*named, name);
        assert!(error.to_string().starts_with(name), "{error}");
    }
    assert!(
        SamplingParams {
            top_k: -1,
            temperature: 100.0,
            ..good()
        }
        .check()
        .is_ok()
    );
}

#[test]
fn a_checkpoint_that_does_not_ask_for_sampling_is_greedy() {
    let params =
        |json: &str| SamplingParams::from_config(&GenerationConfig::from_json(json).unwrap());
    assert_eq!(params("{}"), SamplingParams::default());
    assert_eq!(params(r#"{"temperature": 0.7}"#).temperature, 0.0);
    assert_eq!(
        params(r#"{"temperature": 0.7, "do_sample": false}"#).temperature,
        0.0
    );
    let unsaid = params(r#"{"do_sample": true}"#);
    assert_eq!(
        (unsaid.temperature, unsaid.top_p, unsaid.top_k),
        (1.0, 1.0, 50)
    );
    assert_eq!(params(r#"{"do_sample": true, "top_k": 0}"#).top_k, 0);
    let asked =
        params(r#"{"do_sample": true, "temperature": 0.7, "top_k": 5, "repetition_penalty": 1.1}"#);
    assert_eq!(
        (asked.temperature, asked.top_k, asked.repetition_penalty),
        (0.7, 5, 1.1)
    );
}

/// What each of some samplers chooses on the device by its row of scores.
fn chosen(scores: &[Vec<f32>], samplers: &mut [DeviceSampler]) -> Vec<Option<u32>> {
    let shape = [scores.len(), scores[0].len()];
    let scores = Tensor::from_data(TensorData::new(scores.concat(), shape), &device());
    let mut samplers: Vec<&mut DeviceSampler> = samplers.iter_mut().collect();
    block_on(choose(scores, &mut samplers)).unwrap()
}

/// What the same scores give with the seeds `0..n`, on the device.
fn device_draws(params: &SamplingParams, history: &[u32], logits: &[f32], n: u64) -> Vec<u32> {
    let device = device();
    let of_seed = |seed| {
        let params = SamplingParams {
            seed: Some(seed),
            ..params.clone()
        };
        let sampler = Sampler::new(params, history, logits.len()).unwrap();
        sampler.on_device(&device)
    };
    let mut samplers: Vec<DeviceSampler> = (0..n).map(of_seed).collect();
    let ids = chosen(&vec![logits.to_vec(); samplers.len()], &mut samplers);
    ids.into_iter().map(Option::unwrap).collect()
}

#[test]
fn draws_on_the_device_follow_the_probabilities_of_the_reference() {
    for row in rows("sampling.json") {
        let name = text(&row["name"]);
        let logits = scores(&row["logits"]);
        let steps = row["steps"].as_array().unwrap();
        let params = steps.iter().fold(plain(), with);
        let n = 1000;
        let mut counts = vec![0_u32; logits.len()];
        for id in device_draws(&params, &ids(&row["history"]), &logits, n) {
            counts[id as usize] += 1;
        }
        for (id, (count, want)) in counts.iter().zip(scores(&row["probabilities"])).enumerate() {
            let share = *count as f32 / n as f32;
            assert!((share - want).abs() < 0.06, "{name}: {id} {share} {want}");
            // What the reference excludes is never drawn.
            assert!(want > 0.0 || *count == 0, "{name}: {id} came {count} times");
        }
    }
}

#[test]
fn penalties_on_the_device_are_those_of_the_host_token_by_token() {
    let vocab = 3_001;
    let penalties = [
        (1.0, 0.0, 0.0),
        (1.3, 0.0, 0.0),
        (0.8, 0.5, 0.2),
        (1.0, 0.0, 1.5),
    ];
    let history: Vec<u32> = (0..40).map(|n| n * 71 % 3_001).collect();
    let device = device();
    let params = |(repetition_penalty, presence_penalty, frequency_penalty)| SamplingParams {
        repetition_penalty,
        presence_penalty,
        frequency_penalty,
        ..SamplingParams::default()
    };
    let mut on_host: Vec<Sampler> = penalties
        .into_iter()
        .map(|each| Sampler::new(params(each), &history, vocab).unwrap())
        .collect();
    let mut on_device: Vec<DeviceSampler> = on_host
        .iter()
        .map(|sampler| sampler.on_device(&device))
        .collect();
    // The same few tokens lead again and again, so that penalties change who wins.
    let score = |row: usize, id: usize| ((id * 2_654_435 + row * 97) % 1_009) as f32 / 100.0 - 3.0;
    let logits: Vec<Vec<f32>> = (0..penalties.len())
        .map(|row| (0..vocab).map(|id| score(row, id)).collect())
        .collect();
    let mut said = vec![Vec::new(); penalties.len()];
    for step in 0..12 {
        let want: Vec<Option<u32>> = on_host
            .iter_mut()
            .zip(&logits)
            .map(|(sampler, logits)| sampler.sample(&mut logits.clone()))
            .collect();
        assert_eq!(chosen(&logits, &mut on_device), want, "step {step}");
        for (said, id) in said.iter_mut().zip(want) {
            said.push(id);
        }
    }
    // Nothing moves the first; the others come to new tokens.
    let n_different = said
        .iter()
        .map(|ids| ids.iter().collect::<HashSet<_>>().len());
    let n_different: Vec<usize> = n_different.collect();
    assert_eq!(n_different[0], 1);
    assert!(n_different[1..].iter().all(|n| *n > 1), "{n_different:?}");
}

#[test]
fn a_large_vocabulary_is_drawn_from_as_a_whole() {
    let vocab = 5_003;
    let params = plain();
    // All alike: every tenth of the vocabulary gets a tenth.
    let n = 1_000;
    let mut tenths = [0_u32; 10];
    for id in device_draws(&params, &[], &vec![0.25; vocab], n) {
        tenths[id as usize * 10 / vocab] += 1;
    }
    assert!(
        tenths.iter().all(|count| (60..=140).contains(count)),
        "{tenths:?}"
    );
    // One that leads, at the ends of the blocks too.
    for leader in [0, 69, 70, 71, 72, 141, 142, 2_500, vocab - 2, vocab - 1] {
        let mut logits = vec![0.0; vocab];
        logits[leader] = 60.0;
        let ids = device_draws(&params, &[], &logits, 3);
        assert_eq!(ids, [leader as u32; 3]);
    }
}

#[test]
fn what_is_no_number_is_never_chosen_on_the_device() {
    let (nan, least, most) = (f32::NAN, f32::NEG_INFINITY, f32::INFINITY);
    let rows = vec![
        vec![nan, 1.0, least, 0.5],
        vec![nan, least, nan, nan],
        vec![0.0, most, 3.0, nan],
        vec![least, least, least, -4.0],
    ];
    for temperature in [0.0, 0.7] {
        let params = SamplingParams {
            temperature,
            top_k: 1,
            ..SamplingParams::default()
        };
        let mut samplers: Vec<DeviceSampler> = (0..rows.len())
            .map(|_| sampler(params.clone(), 4).on_device(&device()))
            .collect();
        let ids = chosen(&rows, &mut samplers);
        assert_eq!(ids, [Some(1), None, Some(1), Some(3)], "{temperature}");
    }
}

#[test]
fn a_seed_fixes_the_draws_on_the_device() {
    let draws = |seed| {
        let params = SamplingParams {
            temperature: 2.0,
            seed,
            ..SamplingParams::default()
        };
        let mut samplers = [sampler(params, 100).on_device(&device())];
        (0..20)
            .map(|_| chosen(&[vec![0.5; 100]], &mut samplers)[0])
            .collect::<Vec<Option<u32>>>()
    };
    assert_eq!(draws(Some(7)), draws(Some(7)));
    assert_ne!(draws(Some(7)), draws(Some(8)));
    assert_ne!(draws(None), draws(None));
}

#[test]
fn penalties_beyond_all_reason_still_give_tokens_of_the_vocabulary() {
    // A last block that is not full, and tokens that were seen in it.
    let vocab = 3_001;
    let history = [0, 5, 2_990, 3_000];
    let mut logits: Vec<f32> = (0..vocab).map(|id| (id % 7) as f32 - 3.0).collect();
    logits[5] = 20.0;
    logits[3_000] = 25.0;
    for repetition_penalty in [1e-44, 2e-38, 1e-30, 99.0] {
        for temperature in [0.0, 0.7, 90.0] {
            let params = SamplingParams {
                repetition_penalty,
                temperature,
                presence_penalty: -100.0,
                frequency_penalty: 100.0,
                ..SamplingParams::default()
            };
            let ids = device_draws(&params, &history, &logits, 8);
            assert!(
                ids.iter().all(|id| (*id as usize) < vocab),
                "{repetition_penalty} {temperature}: {ids:?}"
            );
        }
    }
}
