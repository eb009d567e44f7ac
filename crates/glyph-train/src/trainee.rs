//! The model under training and its loss.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::layers::Linear;
use glyph_model::text::Positions;

use crate::batch::{Batch, CELL_CLASSES, CELLS_PER_TOKEN};

/// The model and the head that reads characters straight off the vision tokens. Without that second loss
/// nothing tells the tower early that letters matter, and reading does not start; the head is thrown away.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The model that ships.
    pub glm: Glm4v,
    /// Vision token → class of each character cell that the token covers.
    pub reader: Linear,
}

/// Losses of a batch, as tensors, and how often the model was right.
#[derive(Debug)]
pub struct Losses {
    /// What to minimise.
    pub total: Tensor<1>,
    /// Next-token cross-entropy over the answers; zero when the decoder did not run.
    pub answer: Tensor<1>,
    /// Cross-entropy of the character cells.
    pub cells: Tensor<1>,
    /// Right next tokens and all of them.
    pub answer_hits: (usize, usize),
    /// Right cells and all that are not blank.
    pub cell_hits: (usize, usize),
}

impl Trainee {
    /// Untrained.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let d = config.text_config.hidden_size;
        Self {
            glm: Glm4v::new(config, device),
            reader: Linear::new(d, CELLS_PER_TOKEN * CELL_CLASSES, true, device),
        }
    }

    /// Runs a batch; `decode` says whether the decoder takes part.
    pub fn losses(&self, batch: &Batch, decode: bool, device: &Device) -> Losses {
        let shape = [batch.n_images, batch.grid.n_patches(), batch.patch_len];
        let patches = Tensor::<3>::from_data(TensorData::new(batch.patches.clone(), shape), device);
        let features = self.glm.model.visual.forward(patches, batch.grid);
        let [images, tokens, d] = features.dims();
        let features = features.reshape([images * tokens, d]);

        let cell_scores = self
            .reader
            .forward(features.clone())
            .reshape([images * tokens * CELLS_PER_TOKEN, CELL_CLASSES]);
        let (cells, cell_hits) = cross_entropy(cell_scores, &batch.cells, |class| class != 0);
        if !decode {
            let answer = Tensor::zeros([1], device);
            return Losses {
                total: cells.clone(),
                answer,
                cells,
                answer_hits: (0, 0),
                cell_hits,
            };
        }

        let shape = [batch.n_rows, batch.seq];
        let x = self
            .glm
            .embed(&batch.ids, shape, Some(features), &batch.feature_index);
        let hidden = self
            .glm
            .model
            .language_model
            .forward(x, Positions(&batch.positions));
        // The head runs only where an answer is to be predicted.
        let wanted: Vec<i32> = batch.targets.iter().map(|(at, _)| *at as i32).collect();
        let n_wanted = wanted.len();
        let wanted = Tensor::<1, Int>::from_data(TensorData::new(wanted, [n_wanted]), device);
        let hidden = hidden
            .reshape([batch.n_rows * batch.seq, d])
            .select(0, wanted);
        let labels: Vec<u32> = batch.targets.iter().map(|(_, id)| *id).collect();
        let (answer, answer_hits) = cross_entropy(self.glm.logits(hidden), &labels, |_| true);
        let total = answer.clone() + cells.clone();
        Losses {
            total,
            answer,
            cells,
            answer_hits,
            cell_hits,
        }
    }
}

/// Mean cross-entropy of `[n, classes]` scores, and how many of the labels that `counts` admits were right.
fn cross_entropy(
    scores: Tensor<2>,
    labels: &[u32],
    counts: impl Fn(u32) -> bool,
) -> (Tensor<1>, (usize, usize)) {
    let device = scores.device();
    let label_data: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
    let indices =
        Tensor::<2, Int>::from_data(TensorData::new(label_data, [labels.len(), 1]), &device);
    let guesses = scores.clone().inner().argmax(1).into_data();
    let guessed_right = guesses
        .iter::<i64>()
        .zip(labels)
        .filter(|(_, label)| counts(**label));
    let (mut right, mut all) = (0, 0);
    for (guess, label) in guessed_right {
        all += 1;
        right += usize::from(guess == i64::from(*label));
    }
    let loss = log_softmax(scores, 1).gather(1, indices).mean().neg();
    (loss, (right, all))
}
