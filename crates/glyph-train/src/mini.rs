//! What glyph-mini is made of: the files of its checkpoint apart from the weights.

use serde_json::{Value, json};

/// Special tokens in the order of their ids, which follow the 256 byte tokens.
pub const SPECIAL_TOKENS: [&str; 16] = [
    "<|endoftext|>",
    "<think>",
    "[gMASK]",
    "</think>",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|begin_of_image|>",
    "<|end_of_image|>",
    "<|image|>",
    "<|begin_of_video|>",
    "<|end_of_video|>",
    "<|video|>",
];

/// Tokens of the vocabulary: one per byte, then the special ones.
pub const VOCAB_SIZE: usize = 256 + SPECIAL_TOKENS.len();

/// Id of a special token.
pub fn special_id(token: &str) -> Option<u32> {
    SPECIAL_TOKENS
        .iter()
        .position(|special| *special == token)
        .map(|i| 256 + i as u32)
}

/// Base of the decoder's rotary frequencies. Columns of a page turn the last section, the slowest frequencies: with
/// the family's 10,000 and so few of them, the step to the next column would be at most 0.003 rad and no head
/// could tell a vision token from its neighbour. With 5 it is 0.24 to 0.37 rad, and a page is narrower than a turn.
const ROPE_THETA: f64 = 5.0;

/// `config.json`. The decoder is 7 layers of 256, the vision tower 2 blocks of 128: what a tower needs that
/// sees two monospaced characters in each patch.
pub fn config() -> Value {
    json!({
        "architectures": ["Glm4vForConditionalGeneration"],
        "model_type": "glm4v",
        "image_token_id": special_id("<|image|>"),
        "image_start_token_id": special_id("<|begin_of_image|>"),
        "image_end_token_id": special_id("<|end_of_image|>"),
        "video_token_id": special_id("<|video|>"),
        "video_start_token_id": special_id("<|begin_of_video|>"),
        "video_end_token_id": special_id("<|end_of_video|>"),
        "tie_word_embeddings": true,
        "dtype": "float16",
        "text_config": {
            "model_type": "glm4v_text",
            "vocab_size": VOCAB_SIZE,
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 7,
            "num_attention_heads": 8,
            "num_key_value_heads": 8,
            "hidden_act": "silu",
            "attention_bias": true,
            "rms_norm_eps": 1e-5,
            "max_position_embeddings": 8192,
            "eos_token_id": special_id("<|endoftext|>"),
            "pad_token_id": special_id("<|endoftext|>"),
            "tie_word_embeddings": true,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": ROPE_THETA,
                "partial_rotary_factor": 0.5,
                "mrope_section": [2, 3, 3],
            },
        },
        "vision_config": {
            "model_type": "glm4v_vision",
            "depth": 2,
            "hidden_size": 128,
            "num_heads": 2,
            "in_channels": 3,
            "image_size": 336,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
            "out_hidden_size": 256,
            "intermediate_size": 512,
            "hidden_act": "silu",
            "attention_bias": false,
            "rms_norm_eps": 1e-5,
        },
    })
}

/// `generation_config.json`: greedy until the end of the answer.
pub fn generation_config() -> Value {
    json!({
        "do_sample": false,
        "eos_token_id": [special_id("<|endoftext|>"), special_id("<|user|>"), special_id("<|observation|>")],
        "pad_token_id": special_id("<|endoftext|>"),
    })
}

/// `preprocessor_config.json`: the family's, with bounds that leave glyph-mini's pages at their size.
pub fn preprocessor_config() -> Value {
    json!({
        "image_processor_type": "Glm4vImageProcessor",
        "do_resize": true,
        "do_rescale": true,
        "do_normalize": true,
        "do_convert_rgb": true,
        "rescale_factor": 1.0 / 255.0,
        "resample": 3,
        "size": { "shortest_edge": 784, "longest_edge": 9_633_792 },
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
    })
}

/// `tokenizer.json`: one token per byte, so that every text has an encoding, and the special tokens.
pub fn tokenizer() -> Value {
    let vocab: serde_json::Map<String, Value> = (0..=255_u8)
        .map(|byte| (byte_char(byte).to_string(), json!(byte)))
        .collect();
    let added: Vec<Value> = SPECIAL_TOKENS
        .iter()
        .enumerate()
        .map(|(i, token)| {
            json!({
                // What the model thinks is text that callers tell from the answer by its tags.
                "id": 256 + i, "content": token, "special": !token.contains("think"),
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        "post_processor": null,
        "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": [],
        },
    })
}

/// `tokenizer_config.json`.
pub fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "processor_class": "Glm4vProcessor",
        "clean_up_tokenization_spaces": false,
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": SPECIAL_TOKENS.iter().filter(|token| !token.contains("think")).collect::<Vec<_>>(),
        "model_max_length": 8192,
    })
}

/// `chat_template.jinja`: the family's turns, content as a text or as parts.
pub const CHAT_TEMPLATE: &str = "\
[gMASK]<sop>
{%- for message in messages -%}
<|{{ message.role }}|>
{% if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' or part.type == 'image_url' -%}
<|begin_of_image|><|image|><|end_of_image|>
{%- elif part.type == 'text' -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
<|assistant|>
{% endif -%}
";

/// What [`CHAT_TEMPLATE`] puts behind the last question.
pub const END_OF_PROMPT: &str = "<|assistant|>\n";

/// An answer with what the model thinks before it, if anything.
pub fn full_answer(thought: Option<&str>, answer: &str) -> String {
    match thought {
        Some(thought) => format!("<think>{thought}</think>{answer}"),
        None => answer.to_owned(),
    }
}

/// What [`CHAT_TEMPLATE`] puts between an answer and the next one.
pub fn next_turn(question: &str) -> String {
    format!("<|user|>\n{question}{END_OF_PROMPT}")
}

/// Printable character that stands for a byte in a byte-level vocabulary (GPT-2's table).
fn byte_char(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|other| !printable(*other)).count() as u32;
    char::from_u32(256 + rank).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Pixels across of one text column. The font size below makes 40 columns exactly 280 px.
pub const COLUMN_PX: usize = 7;

/// The official renderer's configuration that glyph-mini reads: a page of `columns × lines` monospaced cells,
/// 7 px wide and `line_px` high, without margins (−6 pt cancels the frame's padding), so that cells and patches
/// share one grid.
pub fn render_style(columns: usize, lines: usize, line_px: usize) -> Value {
    json!({
        "page-size": format!("{},{}", columns * COLUMN_PX, lines * line_px),
        "dpi": 72,
        "margin-x": -6,
        "margin-y": -6,
        "font-path": "DejaVuSansMono.ttf",
        "font-size": 11.626,
        "line-height": line_px,
        "font-color": "#000000",
        "alignment": "LEFT",
        "page-bg-color": "#FFFFFF",
        "para-bg-color": "#FFFFFF",
        "auto-crop-width": false,
        "auto-crop-last-page": false,
        "newline-markup": "<br/>",
    })
}
