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

/// Losses of a batch and what the model guessed, all on the device.
#[derive(Debug)]
pub struct Losses {
    /// What to minimise.
    pub total: Tensor<1>,
    /// Next-token cross-entropy over the answers.
    pub answer: Option<Guesses>,
    /// Cross-entropy of the character cells.
    pub cells: Guesses,
    /// Cross-entropy of the tokens that show what comes next, if any does.
    pub pointers: Option<Guesses>,
    /// Cross-entropy of the cells in them, where they are image tokens.
    pub pointed_cells: Option<Guesses>,
}

/// How the scores of some classes compare with what they should have been.
#[derive(Debug)]
pub struct Guesses {
    /// Mean cross-entropy.
    pub loss: Tensor<1>,
    /// The class of the best score.
    guesses: Tensor<1, Int>,
    labels: Vec<u32>,
}

impl Guesses {
    /// For each label whether the best score is its.
    fn right(&self) -> Vec<bool> {
        let guesses = self.guesses.clone().into_data();
        let pairs = guesses.iter::<i64>().zip(&self.labels);
        pairs.map(|(guess, label)| guess == i64::from(*label)).collect()
    }
}

/// Losses of a batch, and how often the model was right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// Next-token cross-entropy over the answers; zero when the decoder did not run.
    pub answer_loss: f64,
    /// Cross-entropy of the character cells.
    pub cell_loss: f64,
    /// Cross-entropy of the image tokens, and of the cells in them, that show what comes next.
    pub pointer_loss: f64,
    /// Right next tokens and all of them.
    pub answer_hits: (usize, usize),
    /// Answers of which every token was right, which is what greedy generation would give, and all.
    pub exact_hits: (usize, usize),
    /// Right cells and all that are not blank.
    pub cell_hits: (usize, usize),
    /// Image tokens and cells in them both right, and all that were asked for.
    pub pointer_hits: (usize, usize),
}

impl Losses {
    /// Reads the figures off the device; `batch` is what the losses are of.
    pub fn measured(&self, batch: &Batch) -> Measured {
        let scalar = |guesses: &Guesses| {
            let data = guesses.loss.clone().into_data();
            data.iter::<f64>().next().unwrap_or(f64::NAN)
        };
        let is_visible = |(right, class): (bool, &u32)| (*class != 0).then_some(right);
        let cells = self.cells.right().into_iter().zip(&batch.cells);
        let mut measured = Measured {
            cell_loss: scalar(&self.cells),
            cell_hits: count(cells.filter_map(is_visible)),
            ..Measured::default()
        };
        if let Some(answer) = &self.answer {
            measured.answer_loss = scalar(answer);
            let mut is_exact = vec![true; batch.n_rows];
            let answered = batch.targets.iter().zip(answer.right());
            let answered = answered.filter(|(target, _)| target.is_answer);
            measured.answer_hits = count(answered.map(|(target, right)| {
                is_exact[target.asking / batch.seq] &= right;
                right
            }));
            measured.exact_hits = count(is_exact.into_iter());
        }
        if let Some(pointers) = &self.pointers {
            let cells = self.pointed_cells.as_ref();
            measured.pointer_loss = scalar(pointers) + cells.map_or(0.0, scalar);
            let mut cell_right = cells.map_or(Vec::new(), Guesses::right).into_iter();
            let both_right = batch.pointers.iter().zip(pointers.right());
            measured.pointer_hits = count(both_right.map(|(pointed, token)| {
                let cell = pointed.cell.is_none_or(|_| cell_right.next().unwrap_or(false));
                token && cell
            }));
        }
        measured
    }
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
        let features = self.glm.model.visual.forward(batch.pixels(device), batch.grid);
        let [images, tokens, d] = features.dims();
        let features = features.reshape([images * tokens, d]);

        let cell_scores = self
            .reader
            .forward(features.clone())
            .reshape([images * tokens * CELLS_PER_TOKEN, CELL_CLASSES]);
        let cells = guesses(cell_scores, batch.cells.clone());
        if parts == Parts::Tower {
            return Losses {
                total: cells.loss.clone(),
                answer: None,
                cells,
                pointers: None,
                pointed_cells: None,
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
        let (pointers, pointed_cells) = self.pointer.guesses(seen, batch, device);
        // The head runs only where an answer is to be predicted.
        let wanted = indices(batch.targets.iter().map(|target| target.asking), device);
        let hidden = hidden
            .reshape([batch.n_rows * batch.seq, d])
            .select(0, wanted);
        let labels = batch.targets.iter().map(|target| target.id).collect();
        let answer = guesses(self.glm.logits(hidden), labels);
        let heads = [&pointers, &pointed_cells].into_iter().flatten();
        let total = heads.fold(
            answer.loss.clone() + cells.loss.clone(),
            |total, guesses| total + guesses.loss.clone(),
        );
        Losses {
            total,
            answer: Some(answer),
            cells,
            pointers,
            pointed_cells,
        }
    }
}

impl Pointer {
    /// hidden `[rows, seq, d]` → guesses of the tokens, and of the cells in those that are image tokens.
    fn guesses(
        &self,
        hidden: Tensor<3>,
        batch: &Batch,
        device: &Device,
    ) -> (Option<Guesses>, Option<Guesses>) {
        if batch.pointers.is_empty() {
            return (None, None);
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
        let tokens = batch.pointers.iter().map(|p| p.token as u32).collect();
        let tokens = guesses(scores, tokens);
        let in_cells = batch
            .pointers
            .iter()
            .filter_map(|p| Some((p.asking, p.cell? as u32)));
        let (asking, cells): (Vec<usize>, Vec<u32>) = in_cells.unzip();
        if cells.is_empty() {
            return (Some(tokens), None);
        }
        let asking = indices(asking.into_iter(), device);
        let scores = self
            .cell
            .forward(hidden.reshape([rows * seq, d]).select(0, asking));
        (Some(tokens), Some(guesses(scores, cells)))
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

/// How `[n, classes]` scores compare with the labels.
fn guesses(scores: Tensor<2>, labels: Vec<u32>) -> Guesses {
    let device = scores.device();
    let label_data: Vec<i32> = labels.iter().map(|label| *label as i32).collect();
    let indices =
        Tensor::<2, Int>::from_data(TensorData::new(label_data, [labels.len(), 1]), &device);
    let guesses = scores.clone().inner().argmax(1).squeeze_dim(1);
    let loss = log_softmax(scores, 1).gather(1, indices).mean().neg();
    Guesses {
        loss,
        guesses,
        labels,
    }
}
