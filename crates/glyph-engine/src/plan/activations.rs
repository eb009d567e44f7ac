//! Bytes that pass through the vision tower and the decoder, at the moment when most of them are alive.
//!
//! Counted, stage by stage, are the tensors that are alive together: the residual stream, what a stage reads and
//! writes, the copies that the backends make (values that are cast to f32 for norms, rotary embedding and attention;
//! views that attention wants contiguous), and the tables of positions. Where one backend works in place and another
//! does not, the copy is counted.
//!
//! The scores of attention are not counted as a matrix `[heads, n, n]`, because it is never made: burn's CPU backend
//! computes them tile by tile, and elsewhere they are made for some queries at a time ([`Scores`]).
//!
//! Not counted is what an allocator keeps beyond what it was asked for, and what driver and kernels take (a megabyte
//! for each thread of the CPU backend's matrix products). The headroom is for that.

use glyph_model::SCORES_AT_ONCE;
use glyph_model::config::{TextConfig, VisionConfig};

use super::PREFILL_CHUNK;

pub(super) const F32_BYTES: u64 = size_of::<f32>() as u64;

/// Keys whose scores the CPU backend holds at a time, with maximum and sum of each row.
const SCORE_TILE: u64 = 64 + 2;

/// Up to so many scores of a head the CPU backend holds them all.
const MOST_WHOLE_SCORES: u64 = 256 * 1024;

/// Copies of a token's scores in f32. On the CPU the product's, the one that is read back, and the one that sampling
/// changes; on a device that chooses by itself the counts of prompt and answer, the scores, their scaled copy, weights
/// and what a floor leaves of them, two masks, and two that are about to go.
const SCORE_COPIES: u64 = 10;

/// How attention is computed, which decides how many of its scores are alive together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scores {
    /// By the CPU's kernel: tile by tile for each head.
    Tiled,
    /// By products of some queries with all keys: the product, its copy in f32, the weights and theirs in its own type.
    InParts,
}

impl Scores {
    /// Of `n_queries` over `n_keys` in each of `n_heads`.
    fn bytes(self, n_heads: u64, n_queries: u64, n_keys: u64, value: ValueBytes) -> u64 {
        match self {
            Self::Tiled => {
                let whole = n_queries.saturating_mul(n_keys).min(MOST_WHOLE_SCORES);
                let tiles = n_queries.saturating_mul(SCORE_TILE);
                whole.max(tiles).saturating_mul(n_heads * F32_BYTES)
            }
            Self::InParts => {
                let of_a_query = n_heads.saturating_mul(n_keys);
                let all = of_a_query.saturating_mul(n_queries);
                let values = all.min(of_a_query.max(SCORES_AT_ONCE as u64));
                values.saturating_mul(2 * F32_BYTES + 2 * value.own_copy)
            }
        }
    }
}

/// A value's bytes in the model's type, and what it costs to have it in another type as well.
#[derive(Debug, Clone, Copy)]
struct ValueBytes {
    own: u64,
    /// An f32 copy beside it; nothing where f32 is its type.
    f32_copy: u64,
    /// A copy in its own type beside one in f32; nothing where that is the same.
    own_copy: u64,
}

impl ValueBytes {
    fn new(own: u64) -> Self {
        let is_f32 = own == F32_BYTES;
        Self {
            own,
            f32_copy: if is_f32 { 0 } else { F32_BYTES },
            own_copy: if is_f32 { 0 } else { own },
        }
    }
}

/// What the vision tower's activations depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TowerShape {
    width: u64,
    n_heads: u64,
    head_width: u64,
    block_ffn_width: u64,
    merger_ffn_width: u64,
    out_width: u64,
    patch_values: u64,
    position_cells: u64,
    merge_area: u64,
}

impl TowerShape {
    pub fn new(config: &VisionConfig) -> Self {
        Self {
            width: config.hidden_size as u64,
            n_heads: config.num_heads as u64,
            head_width: config.head_dim() as u64,
            // The block's inner width is out_hidden_size; intermediate_size belongs to the merger.
            block_ffn_width: config.out_hidden_size as u64,
            merger_ffn_width: config.intermediate_size as u64,
            out_width: config.out_hidden_size as u64,
            patch_values: config.frame_patch_len() as u64,
            position_cells: (config.position_grid() * config.position_grid()) as u64,
            merge_area: config.merge_area().max(1) as u64,
        }
    }

    /// Of one page of `n_patches`, its pixels included.
    pub fn bytes(&self, n_patches: usize, value_bytes: u64, scores: Scores) -> u64 {
        let n = n_patches as u64;
        let value = ValueBytes::new(value_bytes);
        let ValueBytes {
            own,
            f32_copy,
            own_copy,
        } = value;
        let d = self.width;
        // Pixels as they are uploaded and as the tower reads them, rotary angles, the first vectors.
        let embed =
            self.patch_values * (F32_BYTES + own_copy) + self.head_width / 2 * F32_BYTES + d * own;
        // Vectors, the position table's weight on each patch, the positions.
        let place = self.position_cells * F32_BYTES + d * (own + F32_BYTES + own_copy);
        // Residual stream, queries, keys and values in one, the queries turned; keys, their f32 copy, their pairs,
        // and the two products that are added.
        let turn = d * (6 * own + f32_copy + 3 * F32_BYTES);
        // Residual stream and all three in one; queries, keys and values twice, or in f32; what is attended to.
        let attend = d * (4 * own + (7 * own).max(4 * F32_BYTES));
        // Residual stream, normed copy; gate, its sigmoid, up.
        let feed = (2 * d + 3 * self.block_ffn_width) * own;
        // Normed copy, the windows gathered, tokens; then tokens, gate, its sigmoid, up.
        let gather = 3 * d * own + (self.out_width * own).div_ceil(self.merge_area);
        let merge = ((self.out_width + 3 * self.merger_ffn_width) * own).div_ceil(self.merge_area);
        let widest = [embed, place, turn, attend, feed, gather, merge]
            .into_iter()
            .fold(0, u64::max);
        let rotary_tables = 2 * self.head_width * F32_BYTES;
        let scores = scores.bytes(self.n_heads, n, n, value);
        // The patch kernel with its frames summed, and the position table in f32.
        let of_any_page = d * self.patch_values * own + self.position_cells * d * f32_copy;
        n.saturating_mul(widest + rotary_tables)
            .saturating_add(scores)
            .saturating_add(of_any_page)
    }
}

/// What the decoder's activations depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DecoderShape {
    width: u64,
    ffn_width: u64,
    n_heads: u64,
    head_width: u64,
    query_width: u64,
    kv_width: u64,
    vocab_size: u64,
}

impl DecoderShape {
    pub fn new(config: &TextConfig) -> Self {
        let head_width = config.head_dim() as u64;
        let n_heads = config.num_attention_heads as u64;
        Self {
            width: config.hidden_size as u64,
            ffn_width: config.intermediate_size as u64,
            n_heads,
            head_width,
            query_width: n_heads * head_width,
            kv_width: config.num_key_value_heads() as u64 * head_width,
            vocab_size: config.vocab_size as u64,
        }
    }

    /// Of a chunk of a prompt whose last position sees `context_tokens`, and of one token for each of `batch` answers:
    /// a CPU computes both at once. `is_unpacked` says that keys and values are kept in 8 bits, and that what is seen of
    /// a layer is unpacked for it.
    pub fn bytes(
        &self,
        (batch, context_tokens): (usize, usize),
        value_bytes: u64,
        scores: Scores,
        is_unpacked: bool,
    ) -> u64 {
        let value = ValueBytes::new(value_bytes);
        let (rows, context) = (
            batch.saturating_add(PREFILL_CHUNK) as u64,
            context_tokens as u64,
        );
        let ValueBytes {
            own,
            f32_copy,
            own_copy,
        } = value;
        let (d, q, kv) = (self.width, self.query_width, self.kv_width);
        // Residual stream, normed copy, queries; their f32 copy, their pairs, and the two products that are added.
        let turn = 2 * d * own + q * (own + f32_copy + 3 * F32_BYTES);
        // Residual stream, new keys and values; queries twice, or in f32; what is attended to, also joined by row.
        let attend = (d + 2 * kv) * own + q * (3 * own + f32_copy + F32_BYTES + own_copy);
        // Residual stream, normed copy; gate and up in one, each cut out, the gate's sigmoid.
        let feed = (2 * d + 5 * self.ffn_width) * own;
        // One layer's keys and values of one sequence, cut out of its cache, and repeated for each query head where
        // heads share them.
        let repeated = if self.n_heads * self.head_width == kv {
            0
        } else {
            q
        };
        // Keys and values unpacked; of one of the two also its parts of words, and the whole without its scales.
        let unpacked = if is_unpacked {
            2 * kv * own + 2 * kv * own
        } else {
            0
        };
        let span = context.saturating_mul(2 * (kv + repeated) * own + unpacked);
        let scores = scores.bytes(self.n_heads, rows, context, value);
        let attention = rows
            .saturating_mul(turn.max(attend))
            .saturating_add(span)
            .saturating_add(scores);
        let rotary_tables = rows.saturating_mul(2 * self.head_width * F32_BYTES);
        let logits = (batch as u64).saturating_mul(self.vocab_size * SCORE_COPIES * F32_BYTES);
        attention
            .max(rows.saturating_mul(feed))
            .saturating_add(rotary_tables)
            .saturating_add(logits)
    }
}
