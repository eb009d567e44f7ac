//! The model as the checkpoint nests it: vision tower, decoder, output head.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::config::ModelConfig;
use crate::layers::Linear;
use crate::text::TextDecoder;
use crate::vision::VisionTower;

/// `Glm4vForConditionalGeneration`: module paths are the checkpoint's tensor names.
#[derive(Module, Debug)]
pub struct Glm4v {
    /// Both towers.
    pub model: Glm4vModel,
    /// Output head; `None` where the embedding table serves as one.
    pub lm_head: Option<Linear>,
}

/// Vision tower and decoder.
#[derive(Module, Debug)]
pub struct Glm4vModel {
    /// Vision tower.
    pub visual: VisionTower,
    /// Decoder.
    pub language_model: TextDecoder,
}

impl Glm4v {
    /// A model whose parameters are random until loaded; memory is taken when a parameter is first used.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let text = &config.text_config;
        Self {
            model: Glm4vModel {
                visual: VisionTower::new(&config.vision_config, device),
                language_model: TextDecoder::new(text, device),
            },
            lm_head: (!config.tied_embeddings())
                .then(|| Linear::new(text.hidden_size, text.vocab_size, false, device)),
        }
    }

    /// The linear layers that can be quantised, each with the name of its weight.
    pub fn quantizable(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        let layers = self.model.language_model.layers.iter_mut().enumerate();
        let of_layers = layers.flat_map(|(n, layer)| {
            let (attn, mlp) = (&mut layer.self_attn, &mut layer.mlp);
            [
                ("self_attn.q_proj", &mut attn.q_proj),
                ("self_attn.k_proj", &mut attn.k_proj),
                ("self_attn.v_proj", &mut attn.v_proj),
                ("self_attn.o_proj", &mut attn.o_proj),
                ("mlp.gate_up_proj", &mut mlp.gate_up_proj),
                ("mlp.down_proj", &mut mlp.down_proj),
            ]
            .map(|(name, linear)| {
                (
                    format!("model.language_model.layers.{n}.{name}.weight"),
                    linear,
                )
            })
        });
        let head = self.lm_head.iter_mut();
        of_layers.chain(head.map(|linear| ("lm_head.weight".to_owned(), linear)))
    }

    /// Token embeddings with the image features in the places that `feature_index` names.
    ///
    /// `feature_index[i]` is, for flat position `i` of `ids`, the row of `features` that replaces the token's
    /// embedding, or `None`.
    ///
    /// # Shapes
    /// ids flat `[batch · seq]`, features `[n, d]` → `[batch, seq, d]`.
    pub fn embed(
        &self,
        ids: &[u32],
        [batch, seq]: [usize; 2],
        features: Option<Tensor<2>>,
        feature_index: &[Option<usize>],
    ) -> Tensor<3> {
        let table = &self.model.language_model.embed_tokens;
        // The table of a quantised model may be of fewer bits than what is computed with.
        let norm = &self.model.language_model.norm.weight;
        let embedded = table.forward(ids, [batch, seq]).cast(norm.val().dtype());
        let Some(features) = features else {
            return embedded;
        };

        // Text rows and feature rows stand in one table, from which every position picks its own: one gather,
        // differentiable, whatever the layout of the prompt.
        let d = embedded.dims()[2];
        let rows: Vec<i32> = feature_index
            .iter()
            .enumerate()
            .map(|(i, feature)| feature.map_or(i, |feature| batch * seq + feature) as i32)
            .collect();
        let rows = TensorData::new(rows, [batch * seq]);
        let rows = Tensor::<1, Int>::from_data(rows, &embedded.device());
        let features = features.cast(embedded.dtype());
        Tensor::cat(vec![embedded.reshape([batch * seq, d]), features], 0)
            .select(0, rows)
            .reshape([batch, seq, d])
    }

    /// Scores of every token of the vocabulary.
    ///
    /// # Shapes
    /// `[..., d]` → `[..., vocab]`.
    pub fn logits<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        match &self.lm_head {
            Some(head) => head.forward(hidden),
            None => self.model.language_model.embed_tokens.scores(hidden),
        }
    }

    /// Has the weights that are loaded lie as this machine's cores read them best, which is where the model then runs.
    /// On other devices nothing changes.
    pub fn pack(&mut self) {
        self.model.visual.pack();
        self.model.language_model.pack();
        self.lm_head.iter_mut().for_each(Linear::pack);
    }
}
