//! Memory whose start is the start of a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
const LINE_BYTES: usize = 64;
const LINE_VALUES: usize = LINE_BYTES / size_of::<f32>();

/// Values that grow up to a number that is known from the start: so they stay where they are, and memory that is not
/// written to yet costs nothing.
#[derive(Debug)]
pub(super) struct AlignedValues {
    /// Begins with what lies before the first cache line.
    memory: Vec<f32>,
    start: usize,
}

impl AlignedValues {
    /// None yet, with room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut memory: Vec<f32> = Vec::with_capacity(capacity + LINE_VALUES - 1);
        // An offset that cannot be had would only cost time.
        let offset = memory.as_ptr().align_offset(LINE_BYTES);
        let start = if offset < LINE_VALUES { offset } else { 0 };
        memory.resize(start, 0.0);
        Self { memory, start }
    }

    pub fn zeros(len: usize) -> Self {
        let mut values = Self::with_capacity(len);
        values.grow_to(len);
        values
    }

    /// Adds zeros where there are fewer than `len`.
    pub fn grow_to(&mut self, len: usize) {
        let len = self.start + len;
        if self.memory.len() < len {
            self.memory.resize(len, 0.0);
        }
    }

    /// Takes others in place of its own.
    pub fn replace(&mut self, values: &[f32]) {
        self.memory.truncate(self.start);
        self.memory.extend_from_slice(values);
    }
}

impl Deref for AlignedValues {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..]
    }
}

impl DerefMut for AlignedValues {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..]
    }
}
