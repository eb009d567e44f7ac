//! Memory whose start is the start of a cache line.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the widest vector.
pub(super) const LINE_BYTES: usize = 64;

/// Values that grow up to a number that is known from the start: so they stay where they are, and memory that is not
/// written to yet costs nothing.
#[derive(Debug)]
pub(super) struct AlignedValues<T> {
    /// Begins with what lies before the first cache line.
    memory: Vec<T>,
    start: usize,
}

impl<T: Copy + Default> AlignedValues<T> {
    /// None yet, with room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        let line_values = LINE_BYTES / size_of::<T>().max(1);
        let mut memory: Vec<T> = Vec::with_capacity(capacity + line_values - 1);
        // An offset that cannot be had would only cost time.
        let offset = memory.as_ptr().align_offset(LINE_BYTES);
        let start = if offset < line_values { offset } else { 0 };
        memory.resize(start, T::default());
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
            self.memory.resize(len, T::default());
        }
    }

    /// Takes others in place of its own.
    pub fn replace(&mut self, values: &[T]) {
        self.memory.truncate(self.start);
        self.memory.extend_from_slice(values);
    }
}

impl<T> Deref for AlignedValues<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.start..]
    }
}

impl<T> DerefMut for AlignedValues<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.start..]
    }
}
