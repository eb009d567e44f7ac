//! `tokenizer.json`, and decoding that never splits a character.

use tokenizers::Tokenizer;

use crate::error::{ModelError, Result};

/// The checkpoint's tokenizer.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
}

impl TextTokenizer {
    /// Parses `tokenizer.json`.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn from_json(json: &[u8]) -> Result<Self> {
        Ok(Self { inner: Tokenizer::from_bytes(json).map_err(tokenizer_error)? })
    }

    /// Ids of `text`, special tokens in it recognised, none added.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(tokenizer_error)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of `ids`.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.inner.decode(ids, skip_special_tokens).map_err(tokenizer_error)
    }

    /// Id of a token by its text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Entries of the vocabulary, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Starts decoding a stream of ids.
    pub fn stream(&self, skip_special_tokens: bool) -> TextStream<'_> {
        TextStream { tokenizer: self, skip_special_tokens, ids: Vec::new(), prefix_len: 0, read_len: 0 }
    }
}

/// Decodes ids one at a time and gives out only whole characters: bytes of a character that has not ended yet
/// wait for the ids that end it.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a TextTokenizer,
    skip_special_tokens: bool,
    ids: Vec<u32>,
    /// Ids before this one only give context (some decoders treat the first token of a text apart).
    prefix_len: usize,
    /// Ids before this one have been given out.
    read_len: usize,
}

/// Replacement character: what an unfinished character decodes to.
const UNFINISHED: char = '\u{FFFD}';
/// Longest UTF-8 character in bytes; a byte-level token holds one byte at least.
const MAX_CHAR_BYTES: usize = 4;

impl TextStream<'_> {
    /// Takes one id; returns the text that it completes.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.ids.push(id);
        let waiting = self.ids.len() - self.read_len;
        let (read, all) = self.decoded()?;
        // After that many tokens an unfinished end can only be a byte that is no text at all.
        if all.ends_with(UNFINISHED) && waiting < MAX_CHAR_BYTES {
            return Ok(None);
        }
        self.give_out(&read, &all)
    }

    /// Ends the stream; returns what was still waiting, unfinished bytes as U+FFFD.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn finish(mut self) -> Result<Option<String>> {
        let (read, all) = self.decoded()?;
        self.give_out(&read, &all)
    }

    fn decoded(&self) -> Result<(String, String)> {
        let decode = |ids: &[u32]| self.tokenizer.decode(ids, self.skip_special_tokens);
        Ok((decode(&self.ids[self.prefix_len..self.read_len])?, decode(&self.ids[self.prefix_len..])?))
    }

    fn give_out(&mut self, read: &str, all: &str) -> Result<Option<String>> {
        let text = all.strip_prefix(read).unwrap_or(all).to_owned();
        self.prefix_len = self.read_len;
        self.read_len = self.ids.len();
        Ok((!text.is_empty()).then_some(text))
    }
}

fn tokenizer_error(error: tokenizers::Error) -> ModelError {
    ModelError::Tokenizer { reason: error.to_string() }
}
