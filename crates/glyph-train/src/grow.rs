//! A decoder with one layer more, which answers much as it did before.
//!
//! The last layer of six is where the characters of a question look sharply at what they name on the pages; the one before
//! it gathers what they found where the answer begins, too soon. A copy of that one behind the last can gather it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::module::Param;
use burn::tensor::{DType, Device};
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::weights::{WeightFiles, load_weights};
use serde_json::Value;

use crate::checkpoint::export;
use crate::mini;

/// What is left of the norm behind the copied layer's MLP. It has done its part for the answers; what its attention
/// gathers once more changes them little before it learns.
const MLP_GAIN: f64 = 0.05;

/// Writes to `out` the checkpoint of `dir` with a copy of its last decoder layer but one at the end.
///
/// # Errors
/// When the checkpoint cannot be read or has not one layer less than glyph-mini.
pub fn grow(dir: &Path, out: &Path, device: &Device) -> Result<()> {
    let config = ModelConfig::from_json(&read(dir, "config.json")?)?;
    let n_layers = config.text_config.num_hidden_layers;
    let grown = ModelConfig::from_json(&mini::config().to_string())?;
    let wanted = grown.text_config.num_hidden_layers;
    ensure!(
        n_layers + 1 == wanted,
        "the decoder of {} has {n_layers} layers; glyph-mini has {wanted}, so that one of {} can grow to it",
        dir.display(),
        wanted - 1,
    );
    let render_style: Value = serde_json::from_str(&read(dir, "render.json")?)
        .with_context(|| format!("{} is no JSON", dir.join("render.json").display()))?;
    let files = WeightFiles::open(dir)?;
    let (glm, _) = load_weights(Glm4v::new(&config, device), &files, DType::F32, |_| {})?;
    export(&gathering_again(glm), out, &render_style)
}

fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn gathering_again(mut glm: Glm4v) -> Glm4v {
    let layers = &mut glm.model.language_model.layers;
    if let Some(gathering) = layers.iter().nth_back(1) {
        let mut copy = gathering.clone();
        let norm = &mut copy.post_mlp_layernorm.weight;
        *norm = Param::from_tensor(norm.val() * MLP_GAIN);
        layers.push(copy);
    }
    glm
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::{DType, Device, Tolerance};
    use glyph_model::Glm4v;
    use glyph_model::config::ModelConfig;
    use glyph_model::text::DecoderLayer;
    use glyph_model::weights::{SavedDType, WeightFiles, load_weights, safetensors_bytes};

    use super::{MLP_GAIN, grow};
    use crate::mini;

    fn write_small(dir: &Path) -> Glm4v {
        let mut config = mini::config();
        let n_layers = config["text_config"]["num_hidden_layers"].as_u64().unwrap();
        config["text_config"]["num_hidden_layers"] = (n_layers - 1).into();
        let glm = Glm4v::new(
            &ModelConfig::from_json(&config.to_string()).unwrap(),
            &Device::flex(),
        );
        let write = |name: &str, bytes: &[u8]| std::fs::write(dir.join(name), bytes).unwrap();
        write("config.json", config.to_string().as_bytes());
        let style = mini::render_style(40, 8, 28).to_string();
        write("render.json", style.as_bytes());
        let weights = safetensors_bytes(&glm, SavedDType::F32).unwrap();
        write("model.safetensors", &weights);
        glm
    }

    #[test]
    fn the_last_layer_but_one_comes_again_at_the_end() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [small, large] = dirs.each_ref().map(|dir| dir.path());
        let before = write_small(small);
        let device = Device::flex();
        grow(small, large, &device).unwrap();

        let config = std::fs::read_to_string(large.join("config.json")).unwrap();
        let config = ModelConfig::from_json(&config).unwrap();
        let files = WeightFiles::open(large).unwrap();
        let glm = Glm4v::new(&config, &device);
        let (after, _) = load_weights(glm, &files, DType::F32, |_| {}).unwrap();
        let [before, after] = [before, after].map(|glm| glm.model.language_model.layers);
        assert_eq!(after.len(), before.len() + 1);

        let close = Tolerance::<f32>::absolute(1e-3);
        let is_equal = |now: &DecoderLayer, then: &DecoderLayer, mlp_gain: f64| {
            let looks =
                |layer: &DecoderLayer| layer.self_attn.q_proj.published_weight().into_data();
            let gathers =
                |layer: &DecoderLayer| layer.post_self_attn_layernorm.weight.val().into_data();
            let says = |layer: &DecoderLayer| layer.post_mlp_layernorm.weight.val();
            looks(now).assert_approx_eq(&looks(then), close);
            gathers(now).assert_approx_eq(&gathers(then), close);
            let wanted = (says(then) * mlp_gain).into_data();
            says(now).into_data().assert_approx_eq(&wanted, close);
        };
        for (now, then) in after.iter().zip(&before) {
            is_equal(now, then, 1.0);
        }
        is_equal(&after[before.len()], &before[before.len() - 2], MLP_GAIN);

        let error = grow(large, small, &device).unwrap_err().to_string();
        assert!(error.contains("has 7 layers"), "{error}");
    }
}
