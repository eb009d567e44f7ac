//! The values that `glyph plan` takes: memory sizes, which other commands take too, page sizes, types.

use std::fmt;
use std::str::FromStr;

use burn::tensor::DType;
use bytesize::ByteSize;
use clap::ValueEnum;
use glyph_model::quantize::Quantization;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a size may look like.
const SIZE: &str =
    "it must be a size with its unit, such as 24GiB, 512MiB (1024s) or 24GB, 512MB (1000s)";

/// A memory size. A number alone is refused: bytes are seldom meant.
pub fn size(value: &str) -> Result<ByteSize, &'static str> {
    match ByteSize::from_str(value) {
        Ok(size) if size.0 == 0 || value.parse::<u64>().is_err() => Ok(size),
        _ => Err(SIZE),
    }
}

/// A memory size that something fits in.
pub fn size_above_0(value: &str) -> Result<ByteSize, &'static str> {
    match size(value) {
        Ok(ByteSize(0)) => Err("it must be more than 0"),
        other => other,
    }
}

/// A memory size of a configuration file, by the same rule.
pub fn size_in_file<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ByteSize>, D::Error> {
    deserializer.deserialize_any(SizeVisitor).map(Some)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size with its unit, such as \"24GiB\"")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<ByteSize, E> {
        size(value).map_err(|reason| E::custom(format!("the size is {value:?}: {reason}")))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<ByteSize, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<ByteSize, E> {
        self.visit_str(&value.to_string())
    }
}

/// Width and height of a page in px.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    pub width_px: usize,
    pub height_px: usize,
}

impl FromStr for PageSize {
    type Err = &'static str;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let side = |side: &str| side.parse().ok().filter(|px| *px > 0);
        let sides = value.split_once('x');
        sides
            .and_then(|(width, height)| {
                Some(Self {
                    width_px: side(width)?,
                    height_px: side(height)?,
                })
            })
            .ok_or("it must be WIDTHxHEIGHT in px, both at least 1, such as 1024x1024")
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width_px, self.height_px)
    }
}

impl<'de> Deserialize<'de> for PageSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [width_px, height_px] = Deserialize::deserialize(deserializer)?;
        Ok(Self {
            width_px,
            height_px,
        })
    }
}

impl Serialize for PageSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        [self.width_px, self.height_px].serialize(serializer)
    }
}

/// Kind of device that is planned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceKind {
    /// Memory of its own, with a driver in it
    Gpu,
    /// The machine's memory
    Cpu,
}

/// What the decoder's weights are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsAs {
    /// Not quantised.
    Full,
    /// In 8 or 4 bits.
    Quantized(Quantization),
}

impl WeightsAs {
    /// How the first is typed.
    pub const FULL: &str = "full";
}

impl FromStr for WeightsAs {
    type Err = &'static str;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            Self::FULL => Ok(Self::Full),
            _ => value
                .parse()
                .map(Self::Quantized)
                .map_err(|_| "it must be full, q8 or q4"),
        }
    }
}

/// Type of weights, activations, keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// 32 bits
    F32,
    /// 16 bits
    F16,
    /// 16 bits with the range of f32
    Bf16,
}

impl ValueType {
    /// Name as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The type itself.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }

    /// Bytes of one value.
    pub fn bytes(self) -> u64 {
        self.dtype().size() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::{PageSize, size, size_above_0};

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        for (value, bytes) in [
            ("24GiB", 24 << 30),
            ("24 gib", 24 << 30),
            ("24GB", 24_000_000_000),
            ("1.5MiB", 3 << 19),
            ("0", 0),
            ("7B", 7),
        ] {
            assert_eq!(size(value).map(|size| size.0), Ok(bytes), "{value}");
        }
        for value in ["", "24", "-4GiB", "many", "24GiBs", "NaN GiB", "1.2.3GiB"] {
            assert!(size(value).unwrap_err().contains("24GiB"), "{value}");
        }
        assert!(size_above_0("0GiB").is_err());
        assert!(size_above_0("1B").is_ok());
    }

    #[test]
    fn pages_have_two_sides() {
        let page = "595x842".parse::<PageSize>().unwrap();
        assert_eq!((page.width_px, page.height_px), (595, 842));
        assert_eq!(page.to_string(), "595x842");
        for value in [
            "", "512", "512x", "0x512", "512x0", "512x-1", "1x2x3", "axb",
        ] {
            assert!(value.parse::<PageSize>().is_err(), "{value}");
        }
    }
}
