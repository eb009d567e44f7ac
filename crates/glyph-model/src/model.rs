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
        let embedded = table.forward(ids, [batch, seq]);
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
    pub(crate) fn pack(&mut self) {
        self.model.visual.pack();
        self.model.language_model.pack();
        self.lm_head.iter_mut().for_each(Linear::pack);
    }
}
