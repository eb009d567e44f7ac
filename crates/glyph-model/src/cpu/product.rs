//! Products of a few rows or many with a matrix that lies in strips.

use pulp::{Simd, WithSimd};

use super::memory::LINE_BYTES;
use super::strips::{STRIP, StripValue, Strips};

/// Rows that are multiplied together, so that their sums and what they are made of stay in the processor's registers.
pub(super) const MOST_ROWS: usize = 6;
/// The same where a strip is four vectors, of which such processors have sixteen.
const MOST_ROWS_NARROW: usize = 3;

/// Rows of `width` values, `stride` values from one to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    pub width: usize,
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// One behind the other.
    pub fn dense(values: &'a [f32], width: usize) -> Self {
        Self {
            values,
            width,
            stride: width,
        }
    }

    /// The last one may end with its width.
    pub fn len(self) -> usize {
        self.values.len().div_ceil(self.stride.max(1))
    }

    /// Rows from `first` on.
    pub fn from(self, first: usize) -> Self {
        Self {
            values: &self.values[first * self.stride..],
            ..self
        }
    }

    /// Columns from `first` on.
    pub fn columns(self, first: usize, width: usize) -> Self {
        Self {
            values: &self.values[first..],
            width,
            ..self
        }
    }

    pub fn row(self, row: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..self.width]
    }

    pub fn iter(self) -> impl Iterator<Item = &'a [f32]> {
        let rows = self.values.chunks(self.stride.max(1));
        rows.map(move |row| &row[..self.width])
    }
}

/// `rows · strips`, row by row with strides: `[n_rows, n_inner]` → `[n_rows, n_columns]`. Every sum goes over the rows of
/// the strips in their order, so that a row's numbers are the same in whatever company.
#[derive(Debug)]
pub(super) struct Product<'a, T> {
    pub rows: Rows<'a>,
    pub n_rows: usize,
    pub strips: Strips<'a, T>,
    /// Begins every sum, where there is one: `[n_columns]`.
    pub bias: Option<&'a [f32]>,
    pub out: &'a mut [f32],
    pub out_stride: usize,
}

/// What is fetched ahead of its use: of every `every` rows of a strip the one at `first`, in the strip `distance` values
/// further on; nothing where that is 0.
#[derive(Debug, Clone, Copy, Default)]
struct Ahead {
    distance: usize,
    first: usize,
    every: usize,
}

impl<T: StripValue> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd, MOST_ROWS),
            8 => self.run::<S, 2>(simd, MOST_ROWS),
            4 => self.run::<S, 4>(simd, MOST_ROWS_NARROW),
            _ => self.run::<S, STRIP>(simd, 1),
        }
    }
}

impl<T: StripValue> Product<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(mut self, simd: S, most_rows: usize) {
        if self.n_rows == 0 {
            return;
        }
        let n_tiles = self.n_rows.div_ceil(most_rows);
        let tile = self.n_rows.div_ceil(n_tiles);
        // Few rows take several strips at once: each sum waits for the one before it, and with few sums the
        // processor would wait as well.
        let at_once = match tile {
            1 => 4,
            2 => 2,
            _ if VECTORS == 1 => 2,
            _ => 1,
        };
        let n_strips = self.strips.n_strips();
        let mut strip = 0;
        while strip < n_strips {
            let n = match n_strips - strip {
                n if n >= at_once => at_once,
                n if n >= 2 && at_once >= 2 => 2,
                _ => 1,
            };
            for (n_tile, first) in (0..self.n_rows).step_by(tile).enumerate() {
                let rows = tile.min(self.n_rows - first);
                // Weights come from memory: while these strips are multiplied, the next are fetched, a part of their
                // lines beside each tile of rows.
                let ahead = match self.strips.are_fetched && strip + n < n_strips {
                    true => Ahead {
                        distance: n * self.strips.n_inner * STRIP,
                        first: n_tile,
                        every: n_tiles,
                    },
                    false => Ahead::default(),
                };
                match (rows, n) {
                    (1, 4) => self.tile::<S, VECTORS, 1, 4>(simd, first, strip, ahead),
                    (1, 2) => self.tile::<S, VECTORS, 1, 2>(simd, first, strip, ahead),
                    (1, _) => self.tile::<S, VECTORS, 1, 1>(simd, first, strip, ahead),
                    (2, 2) => self.tile::<S, VECTORS, 2, 2>(simd, first, strip, ahead),
                    (2, _) => self.tile::<S, VECTORS, 2, 1>(simd, first, strip, ahead),
                    (3, 2) => self.tile::<S, VECTORS, 3, 2>(simd, first, strip, ahead),
                    (3, _) => self.tile::<S, VECTORS, 3, 1>(simd, first, strip, ahead),
                    (4, 2) => self.tile::<S, VECTORS, 4, 2>(simd, first, strip, ahead),
                    (4, _) => self.tile::<S, VECTORS, 4, 1>(simd, first, strip, ahead),
                    (5, 2) => self.tile::<S, VECTORS, 5, 2>(simd, first, strip, ahead),
                    (5, _) => self.tile::<S, VECTORS, 5, 1>(simd, first, strip, ahead),
                    (_, 2) => self.tile::<S, VECTORS, 6, 2>(simd, first, strip, ahead),
                    (_, _) => self.tile::<S, VECTORS, 6, 1>(simd, first, strip, ahead),
                }
            }
            strip += n;
        }
    }

    /// `ROWS` rows from `first_row` with `N` strips from `first_strip`.
    #[allow(
        clippy::needless_range_loop,
        reason = "several rows and strips are walked at once"
    )]
    #[inline(always)]
    fn tile<S: Simd, const VECTORS: usize, const ROWS: usize, const N: usize>(
        &mut self,
        simd: S,
        first_row: usize,
        first_strip: usize,
        ahead: Ahead,
    ) {
        let n_inner = self.strips.n_inner;
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &self.rows.row(first_row + row)[..n_inner]);
        let strips: [&[T]; N] = std::array::from_fn(|n| self.strips.strip(first_strip + n));
        let mut sums = [[[simd.splat_f32s(0.0); VECTORS]; N]; ROWS];
        let mut until_fetch = ahead.first;
        for inner in 0..n_inner {
            let start = inner * STRIP;
            if ahead.distance > 0 {
                if until_fetch == 0 {
                    for strip in strips {
                        fetch(strip.as_ptr().wrapping_add(start + ahead.distance));
                    }
                    until_fetch = ahead.every;
                }
                until_fetch -= 1;
            }
            let strips: [[S::f32s; VECTORS]; N] =
                std::array::from_fn(|n| T::vectors(simd, &strips[n][start..start + STRIP]));
            for row in 0..ROWS {
                let value = simd.splat_f32s(rows[row][inner]);
                for n in 0..N {
                    for vector in 0..VECTORS {
                        let sum = &mut sums[row][n][vector];
                        *sum = simd.mul_add_e_f32s(value, strips[n][vector], *sum);
                    }
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (n, sums) in sums.into_iter().enumerate() {
                let column = (first_strip + n) * STRIP;
                let n_columns = STRIP.min(self.strips.n_columns - column);
                let mut strip = [0.0; STRIP];
                S::as_mut_simd_f32s(&mut strip).0.copy_from_slice(&sums);
                if let Some(bias) = self.bias {
                    let bias = &bias[column..column + n_columns];
                    strip
                        .iter_mut()
                        .zip(bias)
                        .for_each(|(sum, bias)| *sum += bias);
                }
                let start = (first_row + row) * self.out_stride + column;
                self.out[start..start + n_columns].copy_from_slice(&strip[..n_columns]);
            }
        }
    }
}

/// `N` rows, each with strips of its own of the same shape: `rows[n] · strips[n]`, in one walk. Memory gives twice as much
/// from several places at once as from one, and a processor fetches ahead by itself only what it sees being read: what
/// is read next is asked for meanwhile.
#[derive(Debug)]
pub(super) struct OwnProducts<'a, T, const N: usize> {
    /// Each `[n_inner]`.
    pub rows: [&'a [f32]; N],
    pub strips: [Strips<'a, T>; N],
    /// Each `[n_columns]`, with room for whole strips.
    pub out: [&'a mut [f32]; N],
    /// What is read behind these, about as much of it, if it is known.
    pub next: Option<[Strips<'a, T>; N]>,
}

impl<T: StripValue, const N: usize> WithSimd for OwnProducts<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd),
            8 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, STRIP>(simd),
        }
    }
}

impl<T: StripValue, const N: usize> OwnProducts<'_, T, N> {
    #[allow(
        clippy::needless_range_loop,
        reason = "several rows and strips are walked at once"
    )]
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let n_inner = self.strips[0].n_inner;
        let rows: [&[f32]; N] = std::array::from_fn(|n| &self.rows[n][..n_inner]);
        for strip in 0..self.strips[0].n_strips() {
            let strips: [&[T]; N] = std::array::from_fn(|n| self.strips[n].strip(strip));
            let next =
                |next: [Strips<'_, T>; N]| next.map(|all| all.place(strip * n_inner * STRIP));
            let next = self.next.map(next);
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; N];
            for inner in 0..n_inner {
                let start = inner * STRIP;
                if let Some(next) = next
                    && (start * size_of::<T>()).is_multiple_of(LINE_BYTES)
                {
                    for next in next {
                        fetch(next.wrapping_add(start));
                    }
                }
                for n in 0..N {
                    let values: [S::f32s; VECTORS] =
                        T::vectors(simd, &strips[n][start..start + STRIP]);
                    let value = simd.splat_f32s(rows[n][inner]);
                    for vector in 0..VECTORS {
                        let sum = &mut sums[n][vector];
                        *sum = simd.mul_add_e_f32s(value, values[vector], *sum);
                    }
                }
            }
            for (out, sums) in self.out.iter_mut().zip(sums) {
                let out = &mut out[strip * STRIP..(strip + 1) * STRIP];
                S::as_mut_simd_f32s(out).0.copy_from_slice(&sums);
            }
        }
    }
}

/// Asks for a cache line before it is needed.
#[inline(always)]
fn fetch<T>(line: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, for which no address is wrong; every x86-64 has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
