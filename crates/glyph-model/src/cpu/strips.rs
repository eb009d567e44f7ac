//! Matrices cut into strips of columns, the form in which products read them.

use pulp::Simd;

use super::memory::AlignedValues;

/// Columns of a strip: of f32 a cache line, one vector of the widest processors and four of the narrowest.
pub(super) const STRIP: usize = 16;

/// What strips are made of.
pub(super) trait StripValue: Copy {
    /// A row of a strip, as it is multiplied with.
    fn vectors<S: Simd, const VECTORS: usize>(simd: S, row: &[Self]) -> [S::f32s; VECTORS];
}

impl StripValue for f32 {
    #[inline(always)]
    fn vectors<S: Simd, const VECTORS: usize>(_: S, row: &[Self]) -> [S::f32s; VECTORS] {
        let row = S::as_simd_f32s(row).0;
        std::array::from_fn(|vector| row[vector])
    }
}

impl StripValue for i8 {
    #[inline(always)]
    fn vectors<S: Simd, const VECTORS: usize>(simd: S, row: &[Self]) -> [S::f32s; VECTORS] {
        let row: [f32; STRIP] = std::array::from_fn(|column| f32::from(row[column]));
        f32::vectors::<S, VECTORS>(simd, &row)
    }
}

/// A matrix `[n_inner, n_columns]` cut into strips of columns, each of which lies row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strips<'a, T> {
    pub memory: StripMemory<'a, T>,
    /// Rows.
    pub n_inner: usize,
    pub n_columns: usize,
    /// Whether strips are to be fetched ahead of their use.
    pub are_fetched: bool,
}

/// Where strips are.
#[derive(Debug, Clone, Copy)]
pub(super) enum StripMemory<'a, T> {
    /// One behind the other.
    InARow(&'a [T]),
    /// Each in memory of its own.
    Each(&'a [AlignedValues<T>]),
}

impl<'a, T> Strips<'a, T> {
    pub fn n_strips(&self) -> usize {
        self.n_columns.div_ceil(STRIP)
    }

    pub fn strip(&self, strip: usize) -> &'a [T] {
        let len = self.n_inner * STRIP;
        match self.memory {
            StripMemory::InARow(values) => &values[strip * len..(strip + 1) * len],
            StripMemory::Each(strips) => &strips[strip][..len],
        }
    }
}
