//! Scratch timing.
use std::time::Instant;
use burn::tensor::{DType, Device, Tensor};
use glyph_model::Checkpoint;
use glyph_model::generate::{encode_images, read_values};
use glyph_model::preprocess::{ImagePatches, PatchGrid};
use glyph_model::text::{KvCache, Positions};

fn cpu_s() -> f64 {
    let s = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}

fn main() {
    let dir = std::env::args().nth(1).unwrap_or("models/glyph-mini".into());
    let device = Device::flex();
    let t = Instant::now();
    let c = Checkpoint::open(std::path::Path::new(&dir), &device, DType::F32, |_| {}).unwrap();
    println!("load {:.3}", t.elapsed().as_secs_f64());
    let glm = &c.model;
    let decoder = &glm.model.language_model;
    let text = &c.settings.config.text_config;
    let context = 250;
    let forward = |ids: &[u32], rows: usize, caches: &mut [&mut KvCache]| {
        let n = ids.len() / rows;
        let start = caches[0].len() as u32;
        let positions: Vec<[u32; 3]> = (0..ids.len()).map(|i| [start + (i % n) as u32; 3]).collect();
        let x = glm.embed(ids, [rows, n], None, &[]);
        let h = decoder.forward_cached(x, Positions(&positions), caches).unwrap();
        let h: Tensor<3> = h.narrow(1, n - 1, 1);
        futures_lite::future::block_on(read_values(glm.logits(h))).unwrap()
    };
    let ids: Vec<u32> = (0..context as u32).map(|i| i * 7 % 250).collect();
    let report = |name: &str, n: usize, mut f: Box<dyn FnMut() + '_>| {
        f();
        let mut best = f64::MAX;
        let c0 = cpu_s();
        for _ in 0..n {
            let t = Instant::now();
            f();
            best = best.min(t.elapsed().as_secs_f64());
        }
        println!("{name}: best {:.3} ms, cpu mean {:.3} ms", best * 1e3, (cpu_s() - c0) / n as f64 * 1e3);
    };
    for rows in [1_usize, 2, 4, 8, 16] {
        let mut caches: Vec<KvCache> = (0..rows).map(|_| KvCache::new(text, 600, DType::F32, &device)).collect();
        for cache in &mut caches {
            forward(&ids, 1, &mut [cache]);
        }
        let step: Vec<u32> = (0..rows as u32).map(|i| 40 + i).collect();
        report(&format!("decode {rows}"), 200, Box::new(|| {
            let mut refs: Vec<&mut KvCache> = caches.iter_mut().collect();
            refs.iter_mut().for_each(|c| c.truncate(context));
            forward(&step, rows, &mut refs);
        }));
    }
    for n in [130, 256] {
        let mut cache = KvCache::new(text, 600, DType::F32, &device);
        report(&format!("prefill {n}"), 40, Box::new(|| {
            cache.truncate(0);
            forward(&ids.iter().cycle().take(n).copied().collect::<Vec<_>>(), 1, &mut [&mut cache]);
        }));
    }
    for (rows, columns) in [(16, 16), (24, 18), (20, 36)] {
        let grid = PatchGrid { rows, columns };
        let patch_len = c.settings.config.vision_config.frame_patch_len();
        let page = ImagePatches { grid, patch_len, values: (0..grid.n_patches() * patch_len).map(|i| (i % 17) as f32 / 17.0).collect() };
        report(&format!("vision {}", grid.n_patches()), 40, Box::new(|| {
            let f = encode_images(glm, std::slice::from_ref(&page), &device).unwrap();
            std::hint::black_box(f.into_data());
        }));
    }
}
