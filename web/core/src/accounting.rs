//! What pages cost a model beside the text that they show.

use crate::messages::SizeRules;
use serde_json::Value;

/// Bytes of keys and values per token of GLM-4.1V-9B in 16 bits: 40 layers, two tensors, 2 heads of
/// 128.
pub const KV_BYTES_OF_9B: usize = 40 * 2 * 2 * 128 * 2;

/// The bytes that a number of a model in the browser and on the CPU takes.
const F32_BYTES: usize = 4;

/// Figures of a text and its pages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Accounting {
    /// Characters of the text.
    pub characters: usize,
    /// Tokens of the text, where they are known.
    pub text_tokens: Option<usize>,
    /// Pages.
    pub pages: usize,
    /// Tokens of the pages.
    pub vision_tokens: usize,
    /// Bytes of keys and values per token.
    pub kv_bytes_per_token: usize,
}

impl Accounting {
    /// Text tokens per vision token.
    pub fn compression(&self) -> Option<f64> {
        let tokens = self.text_tokens?;
        (self.vision_tokens > 0).then(|| tokens as f64 / self.vision_tokens as f64)
    }

    /// Characters per vision token, which compares across tokenizers.
    pub fn characters_per_token(&self) -> Option<f64> {
        (self.vision_tokens > 0).then(|| self.characters as f64 / self.vision_tokens as f64)
    }

    /// Bytes of keys and values of the pages.
    pub fn kv_bytes_of_pages(&self) -> usize {
        self.vision_tokens * self.kv_bytes_per_token
    }

    /// Bytes of keys and values of the text.
    pub fn kv_bytes_of_text(&self) -> Option<usize> {
        self.text_tokens
            .map(|tokens| tokens * self.kv_bytes_per_token)
    }
}

/// Bytes of keys and values per token by a `config.json`, in 32 bits.
pub fn kv_bytes_per_token(config: &Value) -> Option<usize> {
    let text = config.get("text_config")?;
    let number = |key: &str| text.get(key).and_then(Value::as_u64).map(|n| n as usize);
    let heads = number("num_attention_heads")?;
    let head_dim = number("head_dim").or_else(|| number("hidden_size")?.checked_div(heads))?;
    let kv_heads = number("num_key_value_heads").unwrap_or(heads);
    Some(number("num_hidden_layers")? * 2 * kv_heads * head_dim * F32_BYTES)
}

/// The rules of a `preprocessor_config.json`; the family's for what is missing.
pub fn size_rules(preprocessor: &Value) -> SizeRules {
    let family = SizeRules::default();
    let number = |pointer: &str, otherwise: usize| {
        let number = preprocessor.pointer(pointer).and_then(Value::as_u64);
        number.map_or(otherwise, |number| number as usize)
    };
    SizeRules {
        patch_size: number("/patch_size", family.patch_size),
        merge_size: number("/merge_size", family.merge_size),
        temporal_patch_size: number("/temporal_patch_size", family.temporal_patch_size),
        min_pixels: number("/size/shortest_edge", family.min_pixels),
        max_pixels: number("/size/longest_edge", family.max_pixels),
    }
}

/// A number of bytes for people.
pub fn bytes_shown(bytes: f64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    let mut value = bytes / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        _ if bytes < 1000.0 => format!("{bytes:.0} B"),
        0 => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// A count with its thousands apart.
pub fn count_shown(count: usize) -> String {
    let digits = count.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{Accounting, bytes_shown, count_shown, kv_bytes_per_token, size_rules};
    use crate::messages::SizeRules;
    use serde_json::json;

    #[test]
    fn ratios_need_pages() {
        let mut figures = Accounting {
            characters: 8000,
            text_tokens: Some(2000),
            kv_bytes_per_token: 10,
            ..Accounting::default()
        };
        assert_eq!(figures.compression(), None);
        (figures.pages, figures.vision_tokens) = (1, 500);
        assert_eq!(figures.compression(), Some(4.0));
        assert_eq!(figures.characters_per_token(), Some(16.0));
        assert_eq!(figures.kv_bytes_of_text(), Some(20_000));
        assert_eq!(figures.kv_bytes_of_pages(), 5000);
    }

    #[test]
    fn a_checkpoint_says_what_a_token_takes() {
        let config = json!({"text_config": {
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
            "hidden_size": 256
        }});
        assert_eq!(kv_bytes_per_token(&config), Some(4 * 2 * 2 * 64 * 4));
        assert_eq!(kv_bytes_per_token(&json!({})), None);
        assert_eq!(size_rules(&json!({})), SizeRules::default());
        let rules = size_rules(&json!({"size": {"shortest_edge": 784}}));
        assert_eq!(rules.min_pixels, 784);
    }

    #[test]
    fn numbers_are_shown_short() {
        let bytes = [999.0, 1000.0, 999_960.0, 7_166_928.0, 1.5e12].map(bytes_shown);
        assert_eq!(bytes, ["999 B", "1 KB", "1.0 MB", "7.2 MB", "1.5 TB"]);
        assert_eq!(
            [7, 1234, 1234567].map(count_shown),
            ["7", "1,234", "1,234,567"]
        );
    }
}
