//! The model under training and its loss.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::layers::Linear;
use glyph_model::text::Positions;

use crate::batch::{Batch, CELL_CLASSES, CELLS_PER_TOKEN};

/// The model and two heads that are thrown away after training. Without them the answers alone would have to
/// teach the tower that letters matter and the decoder where to look, and neither starts for hours.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The model that ships.
    pub glm: Glm4v,
    /// Vision token → class of each character cell that the token covers.
    pub reader: Linear,
    /// Says where the decoder should look.
    pub pointer: Pointer,
}

/// Compares a position with the tokens of its row: which one shows the character that comes next, and in which of its
/// cells if it is one of a page?
#[derive(Module, Debug)]
pub struct Pointer {
    /// Of the position that asks.
    pub query: Linear,
    /// Of the tokens pointed at.
    pub key: Linear,
    /// Which cell of that image token.
    pub cell: Linear,
}

/// Width in which positions and image tokens are compared.
const POINTER_WIDTH: usize = 64;

/// What learns from a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// The tower alone; the decoder does not run.
    Tower,
    /// Everything.
    Both,
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
    /// Cross-entropy of the image tokens, and of the cells in them, that show what comes next.
    pub pointers: Tensor<1>,
    /// Right next tokens and all of them.
    pub answer_hits: (usize, usize),
    /// Answers of which every token was right, which is what greedy generation would give, and all.
    pub exact_hits: (usize, usize),
    /// Right cells and all that are not blank.
    pub cell_hits: (usize, usize),
    /// Image tokens and cells in them both right, and all that were asked for.
    pub pointer_hits: (usize, usize),
}

impl Trainee {
    /// Untrained.
    pub fn new(config: &ModelConfig, device: &Device) -> Self {
        let d = config.text_config.hidden_size;
        Self {
            glm: Glm4v::new(config, device),
            reader: Linear::new(d, CELLS_PER_TOKEN * CELL_CLASSES, true, device),
            pointer: Pointer {
                query: Linear::new(d, POINTER_WIDTH, true, device),
                key: Linear::new(d, POINTER_WIDTH, false, device),
                cell: Linear::new(d, CELLS_PER_TOKEN, true, device),
            },
        }
    }

    /// Runs a batch through the parts that `parts` names.
    pub fn losses(&self, batch: &Batch, parts: Parts, device: &Device) -> Losses {
        let shape = [batch.n_images, batch.grid.n_patches(), batch.patch_len];
        let patches = Tensor::<3>::from_data(TensorData::new(batch.patches.clone(), shape), device);
        let features = self.glm.model.visual.forward(patches, batch.grid);
        let [images, tokens, d] = features.dims();
        let features = features.reshape([images * tokens, d]);

        let cell_scores = self
            .reader
            .forward(features.clone())
            .reshape([images * tokens * CELLS_PER_TOKEN, CELL_CLASSES]);
        let (cells, right) = cross_entropy(cell_scores, &batch.cells);
        let cell_hits = count(
            right
                .iter()
                .zip(&batch.cells)
                .filter(|(_, class)| **class != 0)
                .map(|(right, _)| *right),
        );
        if parts == Parts::Tower {
            let none = Tensor::zeros([1], device);
            return Losses {
                total: cells.clone(),
                answer: none.clone(),
                cells,
                pointers: none,
                answer_hits: (0, 0),
                exact_hits: (0, 0),
                cell_hits,
                pointer_hits: (0, 0),
            };
        }

        let shape = [batch.n_rows, batch.seq];
        let x = self
            .glm
            .embed(&batch.ids, shape, Some(features), &batch.feature_index);
        // What the last layer sees: it can look where the ones before it found the place.
        let language_model = &self.glm.model.language_model;
        let before_last = language_model.layers.len().saturating_sub(2);
        let mut seen = x.clone();
        let hidden =
            language_model.forward_observed(x, Positions(&batch.positions), |layer, after| {
                if layer == before_last {
                    seen = after.clone();
                }
            });
        let (pointers, pointer_hits) = self.pointer.losses(seen, batch, device);
        // The head runs only where an answer is to be predicted.
        let wanted = indices(batch.targets.iter().map(|target| target.asking), device);
        let hidden = hidden
            .reshape([batch.n_rows * batch.seq, d])
            .select(0, wanted);
        let labels: Vec<u32> = batch.targets.iter().map(|target| target.id).collect();
        let (answer, right) = cross_entropy(self.glm.logits(hidden), &labels);
        let mut is_exact = vec![true; batch.n_rows];
        let answered = batch.targets.iter().zip(&right);
        let answered = answered.filter(|(target, _)| target.is_answer);
        for (target, right) in answered.clone() {
            is_exact[target.asking / batch.seq] &= right;
        }
        let answer_hits = count(answered.map(|(_, right)| *right));
        let total = answer.clone() + cells.clone() + pointers.clone();
        Losses {
            total,
            answer,
            cells,
            pointers,
            pointer_hits,
            answer_hits,
            exact_hits: count(is_exact.into_iter()),
            cell_hits,
        }
    }
}

impl Pointer {
    /// hidden `[rows, seq, d]`.
    fn losses(
        &self,
        hidden: Tensor<3>,
        batch: &Batch,
        device: &Device,
    ) -> (Tensor<1>, (usize, usize)) {
        if batch.pointers.is_empty() {
            return (Tensor::zeros([1], device), (0, 0));
        }
        let [rows, seq, d] = hidden.dims();
        let mean_square = hidden.clone().square().mean_dim(2);
        let hidden = hidden / (mean_square + 1e-5).sqrt();
        let queries = self.query.forward(hidden.clone());
        let keys = self.key.forward(hidden.clone());
        let hidden_keys: Vec<f32> = batch
            .is_filled
            .iter()
            .map(|is_filled| if *is_filled { 0.0 } else { -1e4 })
            .collect();
        let hidden_keys =
            Tensor::<3>::from_data(TensorData::new(hidden_keys, [rows, 1, seq]), device);
        let scores = queries.matmul(keys.transpose()) / (POINTER_WIDTH as f64).sqrt() + hidden_keys;
        let asking = indices(batch.pointers.iter().map(|pointed| pointed.asking), device);
        let scores = scores.reshape([rows * seq, seq]).select(0, asking);
        let tokens: Vec<u32> = batch.pointers.iter().map(|p| p.token as u32).collect();
        let (token_loss, token_right) = cross_entropy(scores, &tokens);
        let in_cells = batch
            .pointers
            .iter()
            .filter_map(|p| Some((p.asking, p.cell? as u32)));
        let (asking, cells): (Vec<usize>, Vec<u32>) = in_cells.unzip();
        if cells.is_empty() {
            return (token_loss, count(token_right.into_iter()));
        }
        let asking = indices(asking.into_iter(), device);
        let scores = self
            .cell
            .forward(hidden.reshape([rows * seq, d]).select(0, asking));
        let (cell_loss, cell_right) = cross_entropy(scores, &cells);
        let mut cell_right = cell_right.into_iter();
        let both_right = batch
            .pointers
            .iter()
            .zip(token_right)
            .map(|(pointed, token)| {
                let cell = pointed
                    .cell
                    .is_none_or(|_| cell_right.next().unwrap_or(false));
                token && cell
            });
        let hits = count(both_right);
        (token_loss + cell_loss, hits)
    }
}

/// Indices as the device takes them.
fn indices(of: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let all: Vec<i32> = of.map(|index| index as i32).collect();
    let n = all.len();
    Tensor::from_data(TensorData::new(all, [n]), device)
}

/// How many are true, and how many there are.
fn count(right: impl Iterator<Item = bool>) -> (usize, usize) {
    right.fold((0, 0), |(hits, all), right| {
        (hits + usize::from(right), all + 1)
    })
}

/// Mean cross-entropy of `[n, classes]` scores, and for each of the labels whether the best score is its.
fn cross_entropy(scores: Tensor<2>, labels: &[u32]) -> (Tensor<1>, Vec<bool>) {
    let device = scores.device();
    let label_data: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
    let indices =
        Tensor::<2, Int>::from_data(TensorData::new(label_data, [labels.len(), 1]), &device);
    let guesses = scores.clone().inner().argmax(1).into_data();
    let right = guesses
        .iter::<i64>()
        .zip(labels)
        .map(|(guess, label)| guess == i64::from(*label))
        .collect();
    let loss = log_softmax(scores, 1).gather(1, indices).mean().neg();
    (loss, right)
}
