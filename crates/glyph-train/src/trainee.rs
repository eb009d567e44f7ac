//! The model under training and its loss.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::layers::Linear;
use glyph_model::text::Positions;

use crate::batch::{Batch, CELL_CLASSES, CELLS_PER_TOKEN};
use crate::emphasis::{self, Emphasis};
use crate::misled::mislead;
use crate::place::{PlaceGuesses, Placer};

/// The model and heads that are thrown away after training. Without them the answers alone would have to
/// teach the tower that letters matter and the decoder where to look, and neither starts for hours.
#[derive(Module, Debug)]
pub struct Trainee {
    /// The model that ships.
    pub glm: Glm4v,
    /// Vision token → class of each character cell that the token covers.
    pub reader: Linear,
    /// Says where the decoder should look.
    pub pointer: Pointer,
    /// Says on which line a question should be answered.
    pub placer: Placer,
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
    /// The decoder alone, by its answers: the tower shows what it has learnt, and the heads have done their part.
    Decoder,
    /// The decoder alone, by its answers, of which the labels count most, and by the places that its questions are about.
    Places,
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
    pub cells: Option<Guesses>,
    /// Cross-entropy of where what comes next is shown.
    pub pointers: Option<PointedGuesses>,
    /// Cross-entropy of where stands what is asked about.
    pub places: Option<PlaceGuesses>,
}

/// Where what comes next is shown.
#[derive(Debug)]
pub struct PointedGuesses {
    /// In which token.
    pub tokens: Guesses,
    /// In which of its cells, if it is one of an image.
    pub cells: Guesses,
}

/// How scores of classes compare with what they should have been. All rows have scores, those that nothing is asked
/// of too, and products with ones and zeros pick what is asked for: to gather some and put their gradients back takes
/// a GPU longer, and burn-fusion 0.22.1 reads beyond the end when it fuses a gather of single columns.
#[derive(Debug)]
pub struct Guesses {
    /// Mean cross-entropy.
    pub loss: Tensor<1>,
    /// The class of the best score of each row.
    guesses: Tensor<1, Int>,
    labels: Vec<Option<u32>>,
}

impl Guesses {
    /// How `[n, classes]` scores compare with the labels of those rows that have one.
    pub fn new(scores: Tensor<2>, labels: Vec<Option<u32>>) -> Self {
        let weights = vec![1.0; labels.len()];
        Self::weighted(scores, labels, &weights)
    }

    /// The same with the loss of each row so many times what it is, still divided by the number of labels.
    fn weighted(scores: Tensor<2>, labels: Vec<Option<u32>>, weights: &[f32]) -> Self {
        let device = scores.device();
        let [n, n_classes] = scores.dims();
        let share = (labels.iter().flatten().count().max(1) as f32).recip();
        let share_of =
            |(label, weight): (&Option<u32>, &f32)| label.map_or(0.0, |_| share * weight);
        let weights: Vec<f32> = labels.iter().zip(weights).map(share_of).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [n, 1]), &device);
        let classes = labels
            .iter()
            .map(|label| label.map_or(-1, |label| label as i32));
        let is_label = one_hot(classes.collect(), [1, n], n_classes, &device);
        let guesses = scores.clone().inner().argmax(1).squeeze_dim(1);
        let likelihoods = log_softmax(scores, 1) * is_label.reshape([n, n_classes]);
        Self {
            loss: (likelihoods * weights).sum().neg(),
            guesses,
            labels,
        }
    }

    /// For each row that has a label whether the best score is its.
    fn right(&self) -> Vec<Option<bool>> {
        let guesses = self.guesses.clone().into_data();
        let pairs = guesses.iter::<i64>().zip(&self.labels);
        pairs
            .map(|(guess, label)| label.map(|label| guess == i64::from(label)))
            .collect()
    }
}

/// Losses of a batch, and how often the model was right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    /// Next-token cross-entropy over the answers; zero when the decoder did not run.
    pub answer_loss: f64,
    /// Cross-entropy of the character cells; zero when the tower did not learn.
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
    /// Cross-entropy of line and page of what is asked about; zero when they were not learnt.
    pub place_loss: f64,
    /// Lines told right, and all that were asked for.
    pub place_hits: (usize, usize),
}

impl Losses {
    /// Reads the figures off the device; `batch` is what the losses are of.
    pub fn measured(&self, batch: &Batch) -> Measured {
        let scalar = |guesses: &Guesses| {
            let data = guesses.loss.clone().inner().into_data();
            data.iter::<f64>().next().unwrap_or(f64::NAN)
        };
        let mut measured = Measured::default();
        if let Some(cells) = &self.cells {
            measured.cell_loss = scalar(cells);
            let cells = cells.right().into_iter().zip(&batch.cells);
            let visible = cells.filter(|(_, class)| **class != 0);
            measured.cell_hits = count(visible.filter_map(|(right, _)| right));
        }
        if let Some(answer) = &self.answer {
            measured.answer_loss = scalar(answer);
            let right = answer.right();
            let mut is_exact = vec![true; batch.n_rows];
            let answered = batch.targets.iter().filter(|target| target.is_answer);
            measured.answer_hits = count(answered.filter_map(|target| {
                let right = right[target.asking]?;
                is_exact[target.asking / batch.seq] &= right;
                Some(right)
            }));
            measured.exact_hits = count(is_exact.into_iter());
        }
        if let Some(PointedGuesses { tokens, cells }) = &self.pointers {
            measured.pointer_loss = scalar(tokens) + scalar(cells);
            let both = tokens.right().into_iter().zip(cells.right());
            measured.pointer_hits =
                count(both.filter_map(|(token, cell)| Some(token? && cell.unwrap_or(true))));
        }
        if let Some(PlaceGuesses { lines, pages }) = &self.places {
            measured.place_loss = scalar(lines) + scalar(pages);
            measured.place_hits = count(lines.right().into_iter().flatten());
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
            placer: Placer::new(d, device),
        }
    }

    /// Runs a batch through the parts that `parts` names.
    pub fn losses(
        &self,
        batch: &Batch,
        parts: Parts,
        emphasis: Emphasis,
        device: &Device,
    ) -> Losses {
        let visual = &self.glm.model.visual;
        let features = match parts {
            Parts::Tower | Parts::Both => visual.forward(batch.pixels(device), batch.grid),
            Parts::Decoder | Parts::Places => {
                let pixels = batch.pixels(device).inner();
                Tensor::from_inner(visual.valid().forward(pixels, batch.grid))
            }
        };
        let [images, tokens, d] = features.dims();
        let features = features.reshape([images * tokens, d]);

        let tower_learns = matches!(parts, Parts::Tower | Parts::Both);
        let cells = tower_learns.then(|| {
            let scores = self
                .reader
                .forward(features.clone())
                .reshape([images * tokens * CELLS_PER_TOKEN, CELL_CLASSES]);
            Guesses::new(scores, batch.cells.iter().copied().map(Some).collect())
        });
        let cells = match (parts, cells) {
            (Parts::Tower, Some(cells)) => {
                return Losses {
                    total: cells.loss.clone(),
                    answer: None,
                    cells: Some(cells),
                    pointers: None,
                    places: None,
                };
            }
            (_, cells) => cells,
        };

        let x = self.embed(
            batch,
            features.reshape([batch.n_rows, images * tokens / batch.n_rows, d]),
        );
        // What the last layer sees: it can look where the ones before it found the place.
        let language_model = &self.glm.model.language_model;
        let before_last = language_model.layers.len().saturating_sub(2);
        let is_misled = parts == Parts::Places && emphasis.misled_share > 0.0;
        let mut seen = x.clone();
        let hidden =
            language_model.forward_altered(x, Positions(&batch.positions), |layer, after| {
                if layer == before_last {
                    seen = after.clone();
                }
                if is_misled && layer + 1 == before_last {
                    mislead(after, batch, emphasis.misled_share)
                } else {
                    after
                }
            });
        let seen = || {
            let mean_square = seen.clone().square().mean_dim(2);
            seen.clone() / (mean_square + 1e-5).sqrt()
        };
        let places = (parts == Parts::Places).then(|| self.placer.guesses(seen(), batch));
        let pointers = (parts == Parts::Both).then(|| self.pointer.guesses(seen(), batch, device));
        let n = batch.n_rows * batch.seq;
        let mut labels = vec![None; n];
        for target in &batch.targets {
            labels[target.asking] = Some(target.id);
        }
        let scores = self.glm.logits(hidden.reshape([n, d]));
        let answer = match parts {
            Parts::Places => Guesses::weighted(scores, labels, &emphasis::weights(batch)),
            _ => Guesses::new(scores, labels),
        };
        let mut total = answer.loss.clone();
        if let Some(cells) = &cells {
            total = total + cells.loss.clone();
        }
        if let Some(pointers) = &pointers {
            total = total + pointers.tokens.loss.clone() + pointers.cells.loss.clone();
        }
        if let Some(places) = &places {
            let loss = places.lines.loss.clone() + places.pages.loss.clone();
            total = total + loss * emphasis.place_share;
        }
        Losses {
            total,
            answer: Some(answer),
            cells,
            pointers,
            places,
        }
    }

    /// What [`Glm4v::embed`] gives, by products with ones and zeros: their gradients are products too, where those of
    /// picking rows are sums one row after another.
    ///
    /// # Shapes
    /// features `[rows, tokens, d]` → `[rows, seq, d]`.
    fn embed(&self, batch: &Batch, features: Tensor<3>) -> Tensor<3> {
        let device = features.device();
        let [rows, tokens, d] = features.dims();
        let table = self.glm.model.language_model.embed_tokens.weight.val();
        let places = batch.feature_index.iter().zip(&batch.ids);
        let (ids, features_shown): (Vec<i32>, Vec<i32>) = places
            .map(|(feature, id)| match feature {
                Some(feature) => (-1, (feature % tokens) as i32),
                None => (*id as i32, -1),
            })
            .unzip();
        let shape = [rows, batch.seq];
        let vocab = table.dims()[0];
        let text = one_hot(ids, shape, vocab, &device)
            .reshape([rows * batch.seq, vocab])
            .matmul(table)
            .reshape([rows, batch.seq, d]);
        text + one_hot(features_shown, shape, tokens, &device).matmul(features)
    }
}

impl Pointer {
    /// hidden `[rows, seq, d]`, each position divided by its root mean square.
    fn guesses(&self, hidden: Tensor<3>, batch: &Batch, device: &Device) -> PointedGuesses {
        let [rows, seq, d] = hidden.dims();
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
        let mut tokens = vec![None; rows * seq];
        let mut cells = vec![None; rows * seq];
        for pointed in &batch.pointers {
            tokens[pointed.asking] = Some(pointed.token as u32);
            cells[pointed.asking] = pointed.cell.map(|cell| cell as u32);
        }
        let cell_scores = self.cell.forward(hidden.reshape([rows * seq, d]));
        PointedGuesses {
            tokens: Guesses::new(scores.reshape([rows * seq, seq]), tokens),
            cells: Guesses::new(cell_scores, cells),
        }
    }
}

/// A one where a class is that of its position, zeros elsewhere, and nothing but zeros for −1.
///
/// # Shapes
/// classes flat `[rows, seq]` → `[rows, seq, n_classes]`.
fn one_hot(
    classes: Vec<i32>,
    [rows, seq]: [usize; 2],
    n_classes: usize,
    device: &Device,
) -> Tensor<3> {
    let shape = [rows, seq, n_classes];
    let classes = TensorData::new(classes, [rows, seq, 1]);
    let classes = Tensor::<3, Int>::from_data(classes, device).expand(shape);
    let all = Tensor::<1, Int>::arange(0..n_classes as i64, device).reshape([1, 1, n_classes]);
    classes.equal(all.expand(shape)).float()
}

/// How many are true, and how many there are.
fn count(right: impl Iterator<Item = bool>) -> (usize, usize) {
    right.fold((0, 0), |(hits, all), right| {
        (hits + usize::from(right), all + 1)
    })
}

#[cfg(test)]
mod tests {
    use burn::optim::GradientsParams;
    use burn::tensor::Device;
    use glyph_model::config::ModelConfig;
    use glyph_model::layers::Linear;

    use super::{Parts, Trainee};
    use crate::batch::{Batch, BatchMakers, PageShape};
    use crate::data::{Document, Generator, PageGrid, Split, Task};
    use crate::emphasis::Emphasis;
    use crate::mini;

    const EMPHASIS: Emphasis = Emphasis {
        place_share: 1.0,
        misled_share: 0.5,
    };

    fn batch() -> Batch {
        let sample = Generator::new(1, Split::Train)
            .with_more_turns(4)
            .sample(Task::Lookup(Document::Form), PageGrid::new(24, 4), 1)
            .unwrap();
        let shape = PageShape {
            columns: 24,
            lines: 4,
            line_px: 28,
        };
        BatchMakers::default().batch(shape, &[sample]).unwrap()
    }

    #[test]
    fn each_part_learns_where_it_is_asked_to() {
        let config = ModelConfig::from_json(&mini::config().to_string()).unwrap();
        let device = Device::flex().autodiff();
        let trainee = Trainee::new(&config, &device);
        let batch = batch();
        for (parts, tower, decoder, pointer, placer) in [
            (Parts::Tower, true, false, false, false),
            (Parts::Decoder, false, true, false, false),
            (Parts::Places, false, true, false, true),
            (Parts::Both, true, true, true, false),
        ] {
            let losses = trainee.losses(&batch, parts, EMPHASIS, &device);
            let grads = GradientsParams::from_grads(losses.total.backward(), &trainee);
            let model = &trainee.glm.model;
            let downsample = grads.get::<4>(model.visual.downsample.weight.id);
            let table = grads.get::<2>(model.language_model.embed_tokens.weight.id);
            let bias = |linear: &Linear| grads.get::<1>(linear.bias.as_ref().unwrap().id);
            let heads = [&trainee.pointer.query, &trainee.placer.line];
            let [of_pointer, of_placer] = heads.map(|linear| bias(linear).is_some());
            assert_eq!(
                [downsample.is_some(), table.is_some(), of_pointer, of_placer],
                [tower, decoder, pointer, placer],
                "{parts:?}"
            );
        }
    }
}
