//! What pages cost a model beside the text that they show.

use crate::messages::SizeRules;
use serde_json::Value;

/// Bytes of keys and values per token of GLM-4.1V-9B in 16 bits: 40 layers, two tensors, 2 heads of
/// 128.
pub const KV_BYTES_OF_9B: u64 = 40 * 2 * 2 * 128 * 2;

/// The bytes that a number of a model in the browser and on the CPU takes.
const F32_BYTES: u64 = 4;

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
    /// Bytes of keys and values per token. In 64 bits, as all bytes here: a megabyte of text takes more than
    /// a `usize` of a browser holds.
    pub kv_bytes_per_token: u64,
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
    pub fn kv_bytes_of_pages(&self) -> u64 {
        self.kv_bytes(self.vision_tokens)
    }

    /// Bytes of keys and values of the text.
    pub fn kv_bytes_of_text(&self) -> Option<u64> {
        self.text_tokens.map(|tokens| self.kv_bytes(tokens))
    }

    fn kv_bytes(&self, tokens: usize) -> u64 {
        (tokens as u64).saturating_mul(self.kv_bytes_per_token)
    }
}

/// A number that a file of a checkpoint must have, and has not: the path of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingNumber(pub &'static str);

fn number(file: &Value, path: &'static str) -> Result<u64, MissingNumber> {
    let number = file.pointer(path).and_then(Value::as_u64);
    number
        .filter(|number| *number > 0)
        .ok_or(MissingNumber(path))
}

/// Bytes of keys and values per token by a `config.json`, in 32 bits.
///
/// # Errors
/// The number that is missing.
pub fn kv_bytes_per_token(config: &Value) -> Result<u64, MissingNumber> {
    let heads = number(config, "/text_config/num_attention_heads")?;
    let head_dim = match number(config, "/text_config/head_dim") {
        Ok(head_dim) => head_dim,
        Err(_) => number(config, "/text_config/hidden_size")? / heads,
    };
    // Where the format leaves it out, every head has keys and values of its own.
    let kv_heads = number(config, "/text_config/num_key_value_heads").unwrap_or(heads);
    let layers = number(config, "/text_config/num_hidden_layers")?;
    let factors = [layers, 2, kv_heads, head_dim, F32_BYTES];
    Ok(factors.into_iter().fold(1, u64::saturating_mul))
}

/// The rules of a `preprocessor_config.json`.
///
/// # Errors
/// The number that is missing.
pub fn size_rules(preprocessor: &Value) -> Result<SizeRules, MissingNumber> {
    let number = |path| number(preprocessor, path).map(|number| number as usize);
    Ok(SizeRules {
        patch_size: number("/patch_size")?,
        merge_size: number("/merge_size")?,
        temporal_patch_size: number("/temporal_patch_size")?,
        min_pixels: number("/size/shortest_edge")?,
        max_pixels: number("/size/longest_edge")?,
    })
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
    use super::{
        Accounting, MissingNumber, bytes_shown, count_shown, kv_bytes_per_token, size_rules,
    };
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
    fn a_long_text_takes_more_bytes_than_32_bits_count() {
        let figures = Accounting {
            text_tokens: Some(1 << 20),
            vision_tokens: 1 << 20,
            kv_bytes_per_token: 12_288,
            ..Accounting::default()
        };
        let (text, pages): (Option<u64>, u64) =
            (figures.kv_bytes_of_text(), figures.kv_bytes_of_pages());
        assert_eq!((text, pages), (Some(12_884_901_888), 12_884_901_888));
    }

    #[test]
    fn a_checkpoint_says_what_a_token_takes() {
        let mut config = json!({"text_config": {
            "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
            "hidden_size": 256
        }});
        assert_eq!(kv_bytes_per_token(&config), Ok(4 * 2 * 2 * 64 * 4));
        config["text_config"]["head_dim"] = json!(32);
        assert_eq!(kv_bytes_per_token(&config), Ok(4 * 2 * 2 * 32 * 4));
        config["text_config"]["num_hidden_layers"] = json!(null);
        let missing = MissingNumber("/text_config/num_hidden_layers");
        assert_eq!(kv_bytes_per_token(&config), Err(missing));
    }

    #[test]
    fn a_preprocessor_says_how_tokens_are_counted() {
        let mut preprocessor = json!({
            "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2,
            "size": {"shortest_edge": 784, "longest_edge": 9_633_792}
        });
        let rules = SizeRules {
            patch_size: 14,
            merge_size: 2,
            temporal_patch_size: 2,
            min_pixels: 784,
            max_pixels: 9_633_792,
        };
        assert_eq!(size_rules(&preprocessor), Ok(rules));
        preprocessor["size"] = json!({"shortest_edge": 784});
        let missing = MissingNumber("/size/longest_edge");
        assert_eq!(size_rules(&preprocessor), Err(missing));
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
