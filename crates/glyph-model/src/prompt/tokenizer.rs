//! `tokenizer.json`, and decoding that never splits a character.

use std::sync::{Arc, OnceLock};

use tokenizers::Tokenizer;

use super::pieces::{MOST_BYTES, pieces};
use crate::caught::caught_unseen;
use crate::error::{ModelError, Result};

/// What a tokenizer is tried with.
const TRIED: &str = "a question: 1 + 2?\n";

/// What the library says, its panics among it.
fn used<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match caught_unseen(work) {
        Ok(outcome) => outcome.map_err(tokenizer_error),
        Err(reason) => Err(ModelError::Tokenizer { reason }),
    }
}

/// The checkpoint's tokenizer; clones share it.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Arc<Tokenizer>,
    /// Found when it is first asked for: all of the vocabulary is looked through.
    longest_token_bytes: Arc<OnceLock<usize>>,
}

impl TextTokenizer {
    /// Parses `tokenizer.json`, and tries it: the library looks at some settings only when it uses them, and panics then.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let tokenizer = used(|| Tokenizer::from_bytes(json))?;
        let tokenizer = Self::unlimited(tokenizer)?;
        tokenizer.decode(&tokenizer.encode(TRIED)?, false)?;
        Ok(tokenizer)
    }

    fn unlimited(mut tokenizer: Tokenizer) -> Result<Self> {
        // What a training run cut and filled its texts to says nothing about a prompt; the reference resets both
        // on every call.
        tokenizer.with_truncation(None).map_err(tokenizer_error)?;
        tokenizer.with_padding(None);
        Ok(Self {
            inner: Arc::new(tokenizer),
            longest_token_bytes: Arc::default(),
        })
    }

    /// Ids of `text`, special tokens in it recognised, none added.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = used(|| self.inner.encode_fast(text, false))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens of a text, counted piece by piece: the memory that a tokenizer takes is many times its text. Where a token
    /// of the whole text would lie across two pieces the sum differs from its count, by a few tokens in all.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn count(&self, text: &str) -> Result<usize> {
        let of_pieces = pieces(text).map(|piece| self.encode(piece).map(|ids| ids.len()));
        of_pieces.sum()
    }

    /// Whether a text has more than `most_tokens`, as far as its pieces can tell. It is counted piece by piece, and no
    /// further than that takes: a text that is much too long never takes the memory that all of it would. One of a single
    /// piece takes little, and is not counted.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn surely_exceeds(&self, text: &str, most_tokens: usize) -> Result<bool> {
        if text.len() <= MOST_BYTES {
            return Ok(false);
        }
        let (mut n_tokens, mut most) = (0, most_tokens);
        for piece in pieces(text) {
            n_tokens += self.encode(piece)?.len();
            // The token across the border behind the piece can come apart into as many as it has bytes.
            most = most.saturating_add(self.longest_token_bytes());
            if n_tokens > most {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Text of `ids`.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        used(|| self.inner.decode(ids, skip_special_tokens))
    }

    /// Id of a token by its text.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Text of a token by its id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The highest id of the vocabulary, added tokens included.
    pub fn highest_id(&self) -> Option<u32> {
        self.inner.get_vocab(true).into_values().max()
    }

    /// Length in bytes of the longest token's text, or somewhat more: no text has fewer tokens than its length over
    /// this.
    pub fn longest_token_bytes(&self) -> usize {
        *self.longest_token_bytes.get_or_init(|| {
            let vocab = self.inner.get_vocab(true);
            vocab.keys().map(String::len).max().unwrap_or(1).max(1)
        })
    }

    /// Entries of the vocabulary, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Starts decoding a stream of ids.
    pub fn stream(&self, skip_special_tokens: bool) -> TextStream {
        TextStream {
            tokenizer: self.clone(),
            skip_special_tokens,
            ids: Vec::new(),
            n_context: 0,
            n_given: 0,
        }
    }
}

/// Decodes ids one at a time and gives out only whole characters: bytes of a character that has not ended yet
/// wait for the ids that end it.
#[derive(Debug)]
pub struct TextStream {
    tokenizer: TextTokenizer,
    skip_special_tokens: bool,
    /// The ids since text and ids last ended together, and those of one such stretch before it.
    ids: Vec<u32>,
    /// How many of them only give context (some decoders treat the first token of a text apart).
    n_context: usize,
    /// Bytes of the text of `ids` that have been given out.
    n_given: usize,
}

/// Replacement character: what an unfinished character decodes to, and bytes that are no text at all.
const UNFINISHED: char = '\u{FFFD}';
/// Most replacement characters that an unfinished character can decode to: some decoders write one for each of
/// its bytes, and a character of four bytes lacks one of them at least.
const MAX_UNFINISHED: usize = 3;
/// After that many ids without a whole character at their end they are given out as they are: no text comes so,
/// and the work for each further id would grow without end.
const MAX_WAITING_IDS: usize = 64;

impl TextStream {
    /// Takes one id; returns the text that it completes.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        self.ids.push(id);
        let all = self.tokenizer.decode(&self.ids, self.skip_special_tokens)?;
        let overdue = self.ids.len() - self.n_context >= MAX_WAITING_IDS;
        let ready = if overdue {
            all.len()
        } else {
            finished_len(&all)
        };
        let text = self.give_out(&all, ready);
        if ready == all.len() {
            self.ids.drain(..self.n_context);
            self.n_context = self.ids.len();
            self.n_given = self
                .tokenizer
                .decode(&self.ids, self.skip_special_tokens)?
                .len();
        }
        Ok(text)
    }

    /// Returns what was still waiting, unfinished bytes as U+FFFD; for the end of the stream.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn finish(&mut self) -> Result<Option<String>> {
        let all = self.tokenizer.decode(&self.ids, self.skip_special_tokens)?;
        Ok(self.give_out(&all, all.len()))
    }

    fn give_out(&mut self, all: &str, ready: usize) -> Option<String> {
        let text = all
            .get(self.n_given..ready)
            .filter(|text| !text.is_empty())?;
        self.n_given = ready;
        Some(text.to_owned())
    }
}

/// Bytes of `text` before the replacement characters at its end that further ids may still turn into one
/// character.
fn finished_len(text: &str) -> usize {
    let unfinished = text
        .chars()
        .rev()
        .take_while(|c| *c == UNFINISHED)
        .take(MAX_UNFINISHED)
        .count();
    text.len() - unfinished * UNFINISHED.len_utf8()
}

fn tokenizer_error(error: tokenizers::Error) -> ModelError {
    ModelError::Tokenizer {
        reason: error.to_string(),
    }
}
