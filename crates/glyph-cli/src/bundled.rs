//! glyph-mini inside the binary, so that a copied binary answers from any directory.

use glyph_model::Result;
use glyph_model::checkpoint::CheckpointFiles;
use glyph_model::weights::WeightFiles;

/// Pages at once that the built-in model was trained on, at most (`place::PAGES` of glyph-train).
pub const MOST_PAGES: usize = 9;

/// Name of the built-in model in reports.
pub const NAME: &str = "glyph-mini";

/// A file of the model's directory. The directory is named here and nowhere else.
macro_rules! model_file {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../models/glyph-mini/",
            $name
        ))
    };
}

const WEIGHTS_NAME: &str = "model.safetensors";
const WEIGHTS: &[u8] = model_file!("model.safetensors");

const FILES: [(&str, &[u8]); 7] = [
    ("config.json", model_file!("config.json")),
    (
        "generation_config.json",
        model_file!("generation_config.json"),
    ),
    (
        "preprocessor_config.json",
        model_file!("preprocessor_config.json"),
    ),
    ("tokenizer.json", model_file!("tokenizer.json")),
    (
        "tokenizer_config.json",
        model_file!("tokenizer_config.json"),
    ),
    ("chat_template.jinja", model_file!("chat_template.jinja")),
    ("render.json", model_file!("render.json")),
];

/// The built-in model's small files.
#[derive(Debug, Clone, Copy)]
pub struct Bundled;

impl CheckpointFiles for Bundled {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let file = FILES.iter().find(|(file_name, _)| *file_name == name);
        Ok(file.map(|(_, bytes)| bytes.to_vec()))
    }
}

/// Characters of a text that the built-in model has not seen in its training: all but printable ASCII and white space.
pub fn count_unread(text: &str) -> usize {
    let is_known = |c| matches!(c, '\t' | '\n' | '\r' | ' '..='~');
    text.chars().filter(|c| !is_known(*c)).count()
}

/// The built-in model's weights.
pub fn weights() -> Result<WeightFiles> {
    WeightFiles::from_bytes(vec![(WEIGHTS_NAME.to_owned(), WEIGHTS.to_vec())])
}
