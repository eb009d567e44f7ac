//! Version of PTX.

use core::fmt;

/// A version of PTX. None is ever chosen: NVRTC writes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PtxVersion(core::convert::Infallible);

impl PtxVersion {
    /// The version for a driver of CUDA `driver`: none.
    pub fn for_driver(_driver: i32) -> Option<Self> {
        None
    }
}

impl fmt::Display for PtxVersion {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}
