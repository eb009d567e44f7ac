//! Memory whose start is the start of a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE_BYTES: usize = 64;
const LINE_VALUES: usize = LINE_BYTES / size_of::<f32>();

/// Zeros at first. The system gives memory only for what is written to.
#[derive(Debug)]
pub(super) struct AlignedValues {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl AlignedValues {
    pub fn zeros(len: usize) -> Self {
        let memory = vec![0.0; len + LINE_VALUES - 1];
        // An offset that cannot be had would only cost time.
        let start = memory.as_ptr().align_offset(LINE_BYTES);
        Self {
            start: if start < LINE_VALUES { start } else { 0 },
            memory,
            len,
        }
    }
}

impl Deref for AlignedValues {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedValues {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}
