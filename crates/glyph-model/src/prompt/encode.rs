//! A conversation with images as the decoder takes it.

use super::chat::{ChatTemplate, Message};
use super::positions::{SequencePositions, sequence_positions};
use super::tokenizer::TextTokenizer;
use crate::error::{ModelError, Result};
use crate::preprocess::PatchGrid;

/// Turns conversations into prompts.
#[derive(Debug)]
pub struct PromptEncoder {
    /// Tokenizer of the checkpoint.
    pub tokenizer: TextTokenizer,
    /// Chat template of the checkpoint.
    pub template: ChatTemplate,
    /// Id of the token that stands for an image feature.
    pub image_token_id: u32,
    /// Patches per side that merge into one token.
    pub merge_size: usize,
}

/// Token ids with the images' places and all positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Token ids, image tokens expanded.
    pub ids: Vec<u32>,
    /// For each token the row of the concatenated image features that replaces its embedding.
    pub feature_index: Vec<Option<usize>>,
    /// Rotary positions.
    pub positions: SequencePositions,
    /// Patch grids of the images that the prompt was made for, in order.
    pub grids: Vec<PatchGrid>,
}

impl Prompt {
    /// Tokens that stand for image features.
    pub fn n_image_tokens(&self) -> usize {
        self.feature_index.iter().flatten().count()
    }

    /// Tokens of text and template.
    pub fn n_text_tokens(&self) -> usize {
        self.ids.len() - self.n_image_tokens()
    }
}

impl PromptEncoder {
    /// Renders, tokenises and expands a conversation whose images have the given patch grids, in order, ready
    /// for the assistant's turn.
    ///
    /// # Errors
    /// [`ModelError::ImageTokenMismatch`] when the conversation holds another number of images than `grids`,
    /// template and tokenizer errors.
    pub fn encode(&self, messages: &[Message], grids: &[PatchGrid]) -> Result<Prompt> {
        let text = self.template.render(messages, true)?;
        self.expand(&self.tokenizer.encode(&text)?, grids)
    }

    /// Expands ids that hold one image token per image.
    ///
    /// # Errors
    /// [`ModelError::ImageTokenMismatch`].
    pub fn expand(&self, ids: &[u32], grids: &[PatchGrid]) -> Result<Prompt> {
        let placeholders = ids.iter().filter(|id| **id == self.image_token_id).count();
        if placeholders != grids.len() {
            return Err(ModelError::ImageTokenMismatch {
                placeholders,
                placeholder_tokens: placeholders,
                images: grids.len(),
                image_tokens: grids
                    .iter()
                    .map(|grid| grid.n_tokens(self.merge_size))
                    .sum(),
            });
        }
        let mut expanded = Vec::with_capacity(ids.len());
        let mut images = grids.iter();
        for id in ids {
            let image = if *id == self.image_token_id {
                images.next()
            } else {
                None
            };
            let copies = image.map_or(1, |grid| grid.n_tokens(self.merge_size));
            expanded.extend(std::iter::repeat_n(*id, copies));
        }
        self.from_expanded(expanded, grids)
    }

    /// Takes ids whose image tokens are already expanded, as a reference processor gives them.
    ///
    /// # Errors
    /// [`ModelError::ImageTokenMismatch`] when the runs of image tokens do not have the images' lengths.
    pub fn from_expanded(&self, ids: Vec<u32>, grids: &[PatchGrid]) -> Result<Prompt> {
        let is_image: Vec<bool> = ids.iter().map(|id| *id == self.image_token_id).collect();
        let runs: Vec<usize> = is_image
            .chunk_by(|a, b| a == b)
            .filter(|run| run.first() == Some(&true))
            .map(<[bool]>::len)
            .collect();
        let image_tokens: Vec<usize> = grids
            .iter()
            .map(|grid| grid.n_tokens(self.merge_size))
            .collect();
        if runs != image_tokens {
            return Err(ModelError::ImageTokenMismatch {
                placeholders: runs.len(),
                placeholder_tokens: runs.iter().sum(),
                images: grids.len(),
                image_tokens: image_tokens.iter().sum(),
            });
        }
        let mut n_features = 0;
        let feature_index = is_image
            .iter()
            .map(|image| {
                image.then(|| {
                    n_features += 1;
                    n_features - 1
                })
            })
            .collect();
        let positions = sequence_positions(&is_image, grids, self.merge_size);
        Ok(Prompt {
            ids,
            feature_index,
            positions,
            grids: grids.to_vec(),
        })
    }
}
