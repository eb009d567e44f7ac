//! Samples → rendered pages → tensors' worth of numbers.

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::{Device, Tensor, TensorData};
use glyph_model::config::{ModelConfig, PreprocessorConfig};
use glyph_model::preprocess::{PatchGrid, RgbImage, image_patches};
use glyph_model::prompt::{ChatTemplate, Message, PromptEncoder, TextTokenizer};
use glyph_render::{FontLibrary, PageLine, RenderStyle, Renderer};

use crate::data::{Sample, Thought};
use crate::locate::{Cell, ShownText};
use crate::mini;
use crate::row::Row;
use crate::said::{Said, known_from, said};

/// Character cells under one vision token: four columns, two lines of 14 px (or one of 28 px).
pub const CELLS_PER_TOKEN: usize = 2 * COLUMNS_PER_TOKEN;
/// Classes of a cell: blank, then the 94 visible ASCII characters.
pub const CELL_CLASSES: usize = 95;
const COLUMNS_PER_TOKEN: usize = 28 / mini::COLUMN_PX;

/// Rows are filled up to a multiple of this: few different shapes to make kernels for, and whole vectors.
const SEQ_MULTIPLE: usize = 16;

/// Geometry of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageShape {
    /// Characters per line.
    pub columns: usize,
    /// Lines per page.
    pub lines: usize,
    /// Height of a line: 28 px puts one line under a vision token, 14 px two.
    pub line_px: usize,
}

/// Numbers of one optimisation step.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Sequences.
    pub n_rows: usize,
    /// Positions of each, padded at the end.
    pub seq: usize,
    /// `[n_rows, seq]`.
    pub ids: Vec<u32>,
    /// Row of the image features for each image token.
    pub feature_index: Vec<Option<usize>>,
    /// Rotary positions.
    pub positions: Vec<[u32; 3]>,
    /// What is to be predicted.
    pub targets: Vec<Target>,
    /// Where on the pages that stands, as far as it stands there.
    pub pointers: Vec<Pointed>,
    /// Where stands what its questions are about.
    pub asked: Vec<Asked>,
    /// `[n_rows, seq]`, which positions hold a token and no padding.
    pub is_filled: Vec<bool>,
    /// Pages of all rows.
    pub n_images: usize,
    /// Patches of each page.
    pub grid: PatchGrid,
    /// Pixels of a patch.
    pub patch_pixels: usize,
    /// `[n_images, patches, patch_pixels]`: the first channel of the first frame. Pages are grey and both frames alike, so
    /// that the others follow from it on the device, which a sixth of the numbers has to be brought to.
    pub patches: Vec<f32>,
    /// Factor and summand that make each channel of the first one.
    pub channels: [[f32; 2]; 3],
    /// `[n_images, tokens, CELLS_PER_TOKEN]`, class of each cell.
    pub cells: Vec<u32>,
}

impl Batch {
    /// All channels of the patches, as the tower takes them.
    ///
    /// # Shapes
    /// → `[n_images, patches, channels · patch_pixels]`.
    pub fn pixels(&self, device: &Device) -> Tensor<3> {
        let shape = [self.n_images, self.grid.n_patches(), self.patch_pixels];
        let grey = Tensor::<3>::from_data(TensorData::new(self.patches.clone(), shape), device);
        let channels = self
            .channels
            .map(|[factor, summand]| grey.clone() * factor + summand);
        Tensor::cat(channels.to_vec(), 2)
    }
}

/// A token to predict.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Flat position whose output predicts it.
    pub asking: usize,
    /// Its id.
    pub id: u32,
    /// Whether it belongs to the answer; the others belong to the question.
    pub is_answer: bool,
}

/// Where a character to predict stands.
#[derive(Debug, Clone, Copy)]
pub struct Pointed {
    /// Flat position whose output predicts the character.
    pub asking: usize,
    /// Position in its row of the token that shows the character.
    pub token: usize,
    /// Cell of that token if it is one of an image, and not one of the text.
    pub cell: Option<usize>,
}

/// Where stands what a question is about.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Flat position by which it is known.
    pub asking: usize,
    /// The cell where what the thought cites begins, its token counted among the vision tokens of the row; none when it
    /// cites nothing. Of what the pages tell something else about, that is cited.
    pub cell: Option<Cell>,
}

/// The pages of a row.
#[derive(Default)]
struct Rendered {
    /// As [`Batch::patches`].
    patches: Vec<f32>,
    /// As [`Batch::cells`].
    cells: Vec<u32>,
}

/// Makes batches for pages of one shape.
pub struct BatchMaker {
    shape: PageShape,
    renderer: Renderer,
    preprocessor: PreprocessorConfig,
    encoder: PromptEncoder,
    end_of_answer: u32,
}

impl BatchMaker {
    /// Opens renderer, tokenizer and template once.
    pub fn new(shape: PageShape) -> Result<Self> {
        let style = mini::render_style(shape.columns, shape.lines, shape.line_px);
        let style = RenderStyle::from_json(&style.to_string())?;
        let config = ModelConfig::from_json(&mini::config().to_string())?;
        Ok(Self {
            shape,
            renderer: Renderer::new(style, FontLibrary::bundled())?,
            preprocessor: PreprocessorConfig::from_json(&mini::preprocessor_config().to_string())?,
            encoder: PromptEncoder {
                tokenizer: TextTokenizer::from_json(mini::tokenizer().to_string().as_bytes())?,
                template: ChatTemplate::new(mini::CHAT_TEMPLATE.to_owned())?,
                image_token_id: config.image_token_id,
                merge_size: config.vision_config.spatial_merge_size,
            },
            end_of_answer: mini::special_id("<|endoftext|>").context("no end token")?,
        })
    }

    /// Renders and encodes samples; each has as many pages as the renderer gives it, and empty ones behind them up to as
    /// many as any has.
    pub fn batch(&mut self, samples: &[Sample]) -> Result<Batch> {
        let mut rows = Vec::with_capacity(samples.len());
        let mut batch = Batch {
            n_rows: samples.len(),
            seq: 0,
            ids: Vec::new(),
            feature_index: Vec::new(),
            positions: Vec::new(),
            targets: Vec::new(),
            pointers: Vec::new(),
            asked: Vec::new(),
            is_filled: Vec::new(),
            n_images: 0,
            grid: PatchGrid {
                rows: 0,
                columns: 0,
            },
            patch_pixels: 0,
            patches: Vec::new(),
            channels: channels(&self.preprocessor),
            cells: Vec::new(),
        };
        let mut rendered: Vec<Rendered> = Vec::with_capacity(samples.len());
        for sample in samples {
            let mut grids: Vec<PatchGrid> = Vec::new();
            let mut pages = Rendered::default();
            let mut shown = ShownText::default();
            for page in self.renderer.pages(&sample.text) {
                self.cells(&page.lines, &mut pages.cells);
                for (line, shown_line) in page.lines.iter().enumerate() {
                    let first = grids.len() * self.tokens_per_page();
                    // Runs of spaces are drawn as no-break spaces.
                    let text = shown_line.text.replace('\u{a0}', " ");
                    shown.push_line(grids.len(), line, &text, |column| {
                        let Cell { token, cell } = self.cell_of(line, column);
                        Cell {
                            token: first + token,
                            cell,
                        }
                    });
                }
                let (width_px, height_px) = (page.width_px as usize, page.height_px as usize);
                ensure!(
                    page.rgb.chunks(3).all(|pixel| pixel == [pixel[0]; 3]),
                    "a page is not grey: glyph-train reads black text on white"
                );
                let image = RgbImage::new(width_px, height_px, page.rgb)?;
                let patches = image_patches(&image, &self.preprocessor)
                    .map_err(|reason| anyhow!("a page {reason}"))?;
                (batch.grid, batch.patch_pixels) = (patches.grid, patches.patch_len / 3);
                for patch in patches.values.chunks(patches.patch_len) {
                    pages
                        .patches
                        .extend_from_slice(&patch[..batch.patch_pixels]);
                }
                grids.push(patches.grid);
            }
            let messages = [Message::pages_and_question(grids.len(), &sample.question)];
            let prompt = self.encoder.encode(&messages, &grids)?;
            let tokenizer = &self.encoder.tokenizer;
            // Of the prompt only its end stands behind the question.
            let end_of_prompt = tokenizer.encode(mini::END_OF_PROMPT)?.len();
            let mut row = Row::new(prompt);
            let mut next = Some((&sample.question, &sample.thought, &sample.answer));
            let mut more_turns = sample.more_turns.iter();
            while let Some((question, thought, answer)) = next {
                row.add_question(question.len(), end_of_prompt, shown.foretell(question));
                let Said {
                    thought: cited,
                    places,
                    asked,
                    given,
                } = said(&shown, question, thought.as_ref(), answer, &sample.given);
                if let Some(Thought { key, .. }) = thought {
                    row.ask(known_from(question, key)..question.len(), asked);
                }
                let said = mini::full_answer(cited.as_deref(), answer);
                row.add_answer(tokenizer.encode(&said)?, self.end_of_answer, &places, |i| {
                    given.iter().any(|range| range.contains(&i))
                });
                next = more_turns
                    .next()
                    .map(|turn| (&turn.question, &turn.thought, &turn.answer));
                if let Some((question, ..)) = next {
                    row.text
                        .extend(tokenizer.encode(&mini::next_turn(question))?);
                }
            }
            batch.seq = batch.seq.max(row.len());
            rows.push(row);
            rendered.push(pages);
        }
        let n_values = rendered
            .iter()
            .map(|pages| pages.patches.len())
            .max()
            .unwrap_or(0);
        let n_cells = rendered
            .iter()
            .map(|pages| pages.cells.len())
            .max()
            .unwrap_or(0);
        let white = (1.0 - self.preprocessor.image_mean[0]) / self.preprocessor.image_std[0];
        for mut pages in rendered {
            pages.patches.resize(n_values, white);
            pages.cells.resize(n_cells, 0);
            batch.patches.append(&mut pages.patches);
            batch.cells.append(&mut pages.cells);
        }
        let tokens_per_row = n_cells / CELLS_PER_TOKEN;
        batch.n_images = rows.len() * (tokens_per_row / self.tokens_per_page().max(1));
        batch.seq = batch.seq.next_multiple_of(SEQ_MULTIPLE);
        for (row_index, row) in rows.into_iter().enumerate() {
            let start = row_index * batch.seq;
            let n_padding = batch.seq - row.len();
            let Row {
                prompt,
                text,
                targets,
                pointed,
                asked,
                ..
            } = row;
            let targets = targets.into_iter();
            batch.targets.extend(targets.map(|target| Target {
                asking: start + target.asking,
                ..target
            }));
            let pointed = pointed.into_iter();
            batch.pointers.extend(pointed.map(|pointed| Pointed {
                asking: start + pointed.asking,
                ..pointed
            }));
            let asked = asked.into_iter();
            batch.asked.extend(asked.map(|asked| Asked {
                asking: start + asked.asking,
                ..asked
            }));
            let n_text = text.len() + n_padding;
            batch.ids.extend(prompt.ids);
            batch.ids.extend(text);
            batch
                .ids
                .extend(std::iter::repeat_n(self.end_of_answer, n_padding));
            batch
                .is_filled
                .extend((0..batch.seq).map(|place| place < batch.seq - n_padding));
            let features = prompt.feature_index.into_iter();
            batch
                .feature_index
                .extend(features.map(|feature| Some(row_index * tokens_per_row + feature?)));
            batch
                .feature_index
                .extend(std::iter::repeat_n(None, n_text));
            batch.positions.extend(prompt.positions.positions);
            let next = prompt.positions.next;
            batch
                .positions
                .extend((next..next + n_text as u32).map(|position| [position; 3]));
        }
        Ok(batch)
    }

    fn tokens_per_page(&self) -> usize {
        (self.shape.columns / COLUMNS_PER_TOKEN) * (self.shape.lines * self.shape.line_px / 28)
    }

    /// The vision token of its page that covers a character, and the cell in it.
    fn cell_of(&self, line: usize, column: usize) -> Cell {
        let tokens_per_row = self.shape.columns / COLUMNS_PER_TOKEN;
        let lines_per_token = 28 / self.shape.line_px;
        Cell {
            token: line / lines_per_token * tokens_per_row + column / COLUMNS_PER_TOKEN,
            cell: line % lines_per_token * COLUMNS_PER_TOKEN + column % COLUMNS_PER_TOKEN,
        }
    }

    /// Appends the class of every cell of a page, in the order of the vision tokens.
    fn cells(&self, page_lines: &[PageLine], out: &mut Vec<u32>) {
        let PageShape {
            columns,
            lines,
            line_px,
        } = self.shape;
        let lines_per_token = 28 / line_px;
        let text: Vec<Vec<char>> = page_lines
            .iter()
            .map(|line| line.text.chars().collect())
            .collect();
        let class = |line: usize, column: usize| -> u32 {
            match text.get(line).and_then(|line| line.get(column)) {
                Some(character @ '!'..='~') => u32::from(*character) - u32::from(' '),
                _ => 0,
            }
        };
        for token_row in 0..lines / lines_per_token {
            for token_column in 0..columns / COLUMNS_PER_TOKEN {
                for slot in 0..2 {
                    let line = token_row * lines_per_token + slot;
                    for column in 0..COLUMNS_PER_TOKEN {
                        let column = token_column * COLUMNS_PER_TOKEN + column;
                        out.push(if slot < lines_per_token {
                            class(line, column)
                        } else {
                            0
                        });
                    }
                }
            }
        }
    }
}

/// Factor and summand that make the value of each channel of that of the first, for a grey pixel.
fn channels(config: &PreprocessorConfig) -> [[f32; 2]; 3] {
    let (mean, std) = (config.image_mean, config.image_std);
    std::array::from_fn(|channel| {
        [
            std[0] / std[channel],
            (mean[0] - mean[channel]) / std[channel],
        ]
    })
}

/// A [`BatchMaker`] for each page shape, opened when first needed.
#[derive(Default)]
pub struct BatchMakers {
    makers: std::collections::HashMap<PageShape, BatchMaker>,
}

impl BatchMakers {
    /// Renders and encodes samples on pages of `shape`.
    pub fn batch(&mut self, shape: PageShape, samples: &[Sample]) -> Result<Batch> {
        let maker = match self.makers.entry(shape) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(BatchMaker::new(shape)?)
            }
        };
        maker.batch(samples)
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
