//! A conversation → token ids, image places and rotary positions.

mod chat;
mod encode;
mod jinja;
mod pieces;
mod positions;
mod tokenizer;

pub use chat::{ChatTemplate, Message, Part, Role};
pub use encode::{Prompt, PromptEncoder};
pub use positions::{SequencePositions, sequence_positions};
pub use tokenizer::{TextStream, TextTokenizer};
