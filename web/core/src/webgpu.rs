//! Why WebGPU is not used.

use std::fmt;

const MISSING: &str = "this browser has no WebGPU on this page";
const NO_ADAPTER: &str = "WebGPU finds no graphics adapter";
const WRONG: &str = "the graphics adapter computes wrong numbers: ";
const WHERE: &str = " where ";
const IS_RIGHT: &str = " is right";

/// Why WebGPU is not used. The API has it as its English sentence, which the page reads back.
#[derive(Debug, Clone, PartialEq)]
pub enum WebGpuFailure {
    /// The browser does not have it, or not on this page.
    Missing,
    /// There is no adapter.
    NoAdapter,
    /// The adapter computes wrong numbers.
    WrongNumbers {
        /// The first of them.
        computed: f32,
        /// What it should be.
        right: f32,
    },
    /// Something else; the browser's or the driver's words.
    Other(String),
}

impl WebGpuFailure {
    /// Reads its sentence.
    pub fn read(sentence: &str) -> Self {
        match sentence {
            MISSING => Self::Missing,
            NO_ADAPTER => Self::NoAdapter,
            _ => Self::wrong_numbers(sentence).unwrap_or_else(|| Self::Other(sentence.to_owned())),
        }
    }

    fn wrong_numbers(sentence: &str) -> Option<Self> {
        let numbers = sentence.strip_prefix(WRONG)?.strip_suffix(IS_RIGHT)?;
        let (computed, right) = numbers.split_once(WHERE)?;
        Some(Self::WrongNumbers {
            computed: computed.parse().ok()?,
            right: right.parse().ok()?,
        })
    }
}

impl fmt::Display for WebGpuFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(MISSING),
            Self::NoAdapter => f.write_str(NO_ADAPTER),
            Self::WrongNumbers { computed, right } => {
                write!(f, "{WRONG}{computed}{WHERE}{right}{IS_RIGHT}")
            }
            Self::Other(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WebGpuFailure;

    #[test]
    fn every_failure_is_read_back_from_its_sentence() {
        for failure in [
            WebGpuFailure::Missing,
            WebGpuFailure::NoAdapter,
            WebGpuFailure::WrongNumbers {
                computed: -0.25,
                right: 16.0,
            },
            WebGpuFailure::Other("the driver is lost".to_owned()),
        ] {
            assert_eq!(WebGpuFailure::read(&failure.to_string()), failure);
        }
    }

    #[test]
    fn wrong_numbers_are_told_with_the_right_one() {
        let failure = WebGpuFailure::WrongNumbers {
            computed: f32::NAN,
            right: 16.0,
        };
        let sentence = "the graphics adapter computes wrong numbers: NaN where 16 is right";
        assert_eq!(failure.to_string(), sentence);
        let read = WebGpuFailure::read(sentence);
        assert!(matches!(read, WebGpuFailure::WrongNumbers { computed, .. } if computed.is_nan()));
    }
}
