//! Types of weights and activations.

use std::fmt;
use std::str::FromStr;

use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::error::DeviceError;

/// The number type that a person asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtypeChoice {
    /// What suits device and checkpoint.
    #[default]
    Auto,
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// 16 bits with the range of f32.
    Bf16,
}

impl DtypeChoice {
    /// All of them, as they are typed.
    const NAMES: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("f32", Self::F32),
        ("f16", Self::F16),
        ("bf16", Self::Bf16),
    ];

    /// The type, unless the choice is left to the device.
    pub(crate) fn dtype(self) -> Option<DType> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(DType::F32),
            Self::F16 => Some(DType::F16),
            Self::Bf16 => Some(DType::BF16),
        }
    }
}

impl FromStr for DtypeChoice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let named = Self::NAMES.into_iter().find(|(known, _)| *known == name);
        named
            .map(|(_, choice)| choice)
            .ok_or_else(|| DeviceError::UnknownDtype(name.to_owned()))
    }
}

impl fmt::Display for DtypeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(_, choice)| choice == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

/// What a checkpoint's weights are stored as, by most of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredType {
    /// 32 bits.
    F32,
    /// 16 bits.
    F16,
    /// 16 bits with the range of f32.
    Bf16,
}

impl StoredType {
    /// The type that most bytes have; f32 where there are none.
    pub fn of(tensors: impl IntoIterator<Item = (DType, u64)>) -> Self {
        let (mut f16, mut bf16, mut others) = (0_u64, 0_u64, 0_u64);
        for (dtype, n_bytes) in tensors {
            *match dtype {
                DType::F16 => &mut f16,
                DType::BF16 => &mut bf16,
                _ => &mut others,
            } += n_bytes;
        }
        if f16.max(bf16) <= others {
            Self::F32
        } else if f16 >= bf16 {
            Self::F16
        } else {
            Self::Bf16
        }
    }
}

/// The types that a device computes in; f32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dtypes {
    /// 16 bits.
    pub f16: bool,
    /// 16 bits with the range of f32.
    pub bf16: bool,
}

impl Dtypes {
    /// Their names.
    pub fn names(self) -> Vec<&'static str> {
        let all = [(true, "f32"), (self.f16, "f16"), (self.bf16, "bf16")];
        all.into_iter()
            .filter_map(|(is_there, name)| is_there.then_some(name))
            .collect()
    }

    /// Whether a type is one of them.
    pub fn contains(self, dtype: DType) -> bool {
        match dtype {
            DType::F32 => true,
            DType::F16 => self.f16,
            DType::BF16 => self.bf16,
            _ => false,
        }
    }
}

/// Name of a type in reports.
pub fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::{DtypeChoice, Dtypes, StoredType, dtype_name};

    #[test]
    fn types_are_chosen_by_name() {
        for name in ["auto", "f32", "f16", "bf16"] {
            assert_eq!(name.parse::<DtypeChoice>().unwrap().to_string(), name);
        }
        for name in ["", "F32", "fp16", "int8"] {
            let error = name.parse::<DtypeChoice>().unwrap_err().to_string();
            assert!(error.contains("bf16") && error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_checkpoint_is_of_the_type_that_most_of_its_bytes_have() {
        for (tensors, stored) in [
            (vec![], StoredType::F32),
            (vec![(DType::F32, 4)], StoredType::F32),
            (vec![(DType::BF16, 90), (DType::F32, 10)], StoredType::Bf16),
            (vec![(DType::F16, 90), (DType::F32, 100)], StoredType::F32),
            (vec![(DType::F16, 9), (DType::BF16, 8)], StoredType::F16),
        ] {
            assert_eq!(StoredType::of(tensors.clone()), stored, "{tensors:?}");
        }
    }

    #[test]
    fn a_device_names_its_types() {
        let dtypes = Dtypes {
            f16: true,
            bf16: false,
        };
        assert_eq!(dtypes.names(), ["f32", "f16"]);
        assert!(dtypes.contains(DType::F16) && !dtypes.contains(DType::BF16));
        assert!(!dtypes.contains(DType::I32));
        assert_eq!(dtype_name(DType::BF16), "bf16");
    }
}
