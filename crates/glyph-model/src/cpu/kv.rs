//! Keys and values of a sequence in this machine's memory, laid out for the products that read them.

use half::f16;

use super::memory::AlignedValues;
use super::product::Rows;
use super::strips::{STRIP, StripMemory, StripValue, Strips, narrowed};
use super::vectorised;
use crate::text::KvPrecision;

/// Keys and values of all layers.
#[derive(Debug)]
pub(crate) struct HostKv {
    heads: HostHeads,
    shape: HostKvShape,
}

/// Heads of all layers, layer by layer.
#[derive(Debug)]
pub(super) enum HostHeads {
    /// As they are computed.
    Full(Vec<HeadKv<f32>>),
    /// In 16 bits.
    Half(Vec<HeadKv<f16>>),
    /// In 8 bits, with a scale for each position.
    Eight(Vec<HeadKv<i8>>),
}

/// How many heads, and of how many channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HostKvShape {
    n_layers: usize,
    n_heads: usize,
    head_dim: usize,
}

impl HostKv {
    /// None yet, of `[layers, heads, head_dim]`, with room for `capacity` positions.
    pub fn new(
        [n_layers, n_heads, head_dim]: [usize; 3],
        capacity: usize,
        precision: KvPrecision,
    ) -> Self {
        let n = n_layers * n_heads;
        let heads = match precision {
            KvPrecision::Full => HostHeads::Full(HeadKv::several(n, head_dim, capacity)),
            KvPrecision::F16 => HostHeads::Half(HeadKv::several(n, head_dim, capacity)),
            KvPrecision::Q8 => HostHeads::Eight(HeadKv::several(n, head_dim, capacity)),
        };
        let shape = HostKvShape {
            n_layers,
            n_heads,
            head_dim,
        };
        Self { heads, shape }
    }

    pub fn n_heads(&self) -> usize {
        self.shape.n_heads
    }

    pub fn head_dim(&self) -> usize {
        self.shape.head_dim
    }

    pub(super) fn heads(&self) -> &HostHeads {
        &self.heads
    }

    /// Writes positions of one layer from `start` on.
    ///
    /// # Shapes
    /// keys, values `[positions, heads · head_dim]`.
    pub fn write(&mut self, layer: usize, start: usize, keys: Rows<'_>, values: Rows<'_>) {
        let first = layer * self.shape.n_heads;
        match &mut self.heads {
            HostHeads::Full(heads) => self.shape.write(&mut heads[first..], start, keys, values),
            HostHeads::Half(heads) => self.shape.write(&mut heads[first..], start, keys, values),
            HostHeads::Eight(heads) => self.shape.write(&mut heads[first..], start, keys, values),
        }
    }

    /// A copy of the first `len` positions, with room for no more.
    pub fn prefix(&self, len: usize) -> Self {
        let HostKvShape {
            n_layers,
            n_heads,
            head_dim,
        } = self.shape;
        let precision = match self.heads {
            HostHeads::Full(_) => KvPrecision::Full,
            HostHeads::Half(_) => KvPrecision::F16,
            HostHeads::Eight(_) => KvPrecision::Q8,
        };
        let mut prefix = Self::new([n_layers, n_heads, head_dim], len, precision);
        prefix.restore(self, len);
        prefix
    }

    /// Takes the first `len` positions of another in place of its own; false where that is of another shape, or kept in
    /// another way.
    pub fn restore(&mut self, other: &Self, len: usize) -> bool {
        if self.shape != other.shape {
            return false;
        }
        match (&mut self.heads, &other.heads) {
            (HostHeads::Full(heads), HostHeads::Full(others)) => {
                self.shape.restore(heads, others, len);
            }
            (HostHeads::Half(heads), HostHeads::Half(others)) => {
                self.shape.restore(heads, others, len);
            }
            (HostHeads::Eight(heads), HostHeads::Eight(others)) => {
                self.shape.restore(heads, others, len);
            }
            _ => return false,
        }
        true
    }
}

impl HostKvShape {
    /// Writes positions from `start` on to the first heads of `heads`.
    fn write<T: KvValue>(
        self,
        heads: &mut [HeadKv<T>],
        start: usize,
        keys: Rows<'_>,
        values: Rows<'_>,
    ) {
        let head_dim = self.head_dim;
        for (n, head) in heads.iter_mut().take(self.n_heads).enumerate() {
            let keys = keys.columns(n * head_dim, head_dim);
            let values = values.columns(n * head_dim, head_dim);
            vectorised(
                #[inline(always)]
                || {
                    head.write_keys(start, keys);
                    head.write_values(start, values);
                },
            );
        }
    }

    fn restore<T: KvValue>(self, heads: &mut [HeadKv<T>], others: &[HeadKv<T>], len: usize) {
        for (head, other) in heads.iter_mut().zip(others) {
            head.restore(other, len, self.head_dim);
        }
    }
}

/// What keys and values are kept in.
pub(super) trait KvValue: StripValue + Default {
    /// Whether a position has a scale of its own.
    const IS_SCALED: bool;

    /// Whether it can be kept. What it is instead nobody will ask.
    fn holds(value: f32) -> bool;

    /// The scale of a position.
    fn scale(values: &[f32]) -> f32;

    /// `value ≈ scale · kept`.
    fn kept(value: f32, scale: f32) -> Self;
}

impl KvValue for f32 {
    const IS_SCALED: bool = false;

    #[inline(always)]
    fn holds(_: f32) -> bool {
        true
    }

    #[inline(always)]
    fn scale(_: &[f32]) -> f32 {
        1.0
    }

    #[inline(always)]
    fn kept(value: f32, _: f32) -> Self {
        value
    }
}

impl KvValue for f16 {
    const IS_SCALED: bool = false;

    #[inline(always)]
    fn holds(value: f32) -> bool {
        value.abs() <= f16::MAX.to_f32_const()
    }

    #[inline(always)]
    fn scale(_: &[f32]) -> f32 {
        1.0
    }

    #[inline(always)]
    fn kept(value: f32, _: f32) -> Self {
        narrowed(value)
    }
}

impl KvValue for i8 {
    const IS_SCALED: bool = true;

    #[inline(always)]
    fn holds(_: f32) -> bool {
        true
    }

    #[inline(always)]
    fn scale(values: &[f32]) -> f32 {
        // The bits of numbers without a sign are ordered as they are, and vectors find the greatest of them.
        let bits = values.iter().map(|value| value.abs().to_bits());
        let most = f32::from_bits(bits.max().unwrap_or_default());
        let step = most / MOST_EIGHT_BITS;
        // What is no number stays none, for the scores to show it.
        if step < LEAST_STEP { LEAST_STEP } else { step }
    }

    #[inline(always)]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "what lies outside is meant to become the nearest that does not"
    )]
    fn kept(value: f32, scale: f32) -> Self {
        (value / scale)
            .round_ties_even()
            .clamp(-MOST_EIGHT_BITS, MOST_EIGHT_BITS) as Self
    }
}

/// Without an end before the last value, so that vectors can look.
#[inline(always)]
fn all_held<T: KvValue>(values: &[f32]) -> bool {
    let held = values.iter().map(|value| T::holds(*value));
    held.fold(true, |all, is_held| all & is_held)
}

/// The largest whole number of 8 bits; the smallest is as far from 0.
pub(crate) const MOST_EIGHT_BITS: f32 = 127.0;

/// Keeps a position of zeros from being divided by 0; a step this small is none.
pub(crate) const LEAST_STEP: f32 = 1e-6;

/// Keys and values of a head of one layer.
#[derive(Debug)]
pub(super) struct HeadKv<T> {
    /// Strips of positions, in each of them channel by channel.
    keys: AlignedValues<T>,
    /// Strips of channels, in each of them position by position.
    values: Vec<AlignedValues<T>>,
    /// One for each position, or none at all.
    key_scales: AlignedValues<f32>,
    value_scales: AlignedValues<f32>,
    /// Whether all that was written could be kept.
    is_sound: bool,
}

impl<T: KvValue> HeadKv<T> {
    /// So many, with room for `capacity` positions.
    fn several(n: usize, head_dim: usize, capacity: usize) -> Vec<Self> {
        let n_keys = capacity.next_multiple_of(STRIP) * head_dim;
        let n_scales = if T::IS_SCALED { capacity } else { 0 };
        let head = |_| Self {
            keys: AlignedValues::with_capacity(n_keys),
            values: (0..head_dim.div_ceil(STRIP))
                .map(|_| AlignedValues::with_capacity(capacity * STRIP))
                .collect(),
            key_scales: AlignedValues::with_capacity(n_scales),
            value_scales: AlignedValues::with_capacity(n_scales),
            is_sound: true,
        };
        (0..n).map(head).collect()
    }

    /// # Shapes
    /// `[positions, head_dim]`.
    #[inline(always)]
    fn write_keys(&mut self, start: usize, keys: Rows<'_>) {
        let (end, head_dim) = (start + keys.len(), keys.width);
        self.keys.grow_to(end.next_multiple_of(STRIP) * head_dim);
        let scales = scales::<T>(&mut self.key_scales, start, end);
        for (n, key) in keys.iter().enumerate() {
            self.is_sound &= all_held::<T>(key);
            let scale = T::scale(key);
            scales.get_mut(n).into_iter().for_each(|to| *to = scale);
            let position = start + n;
            let strip = position / STRIP * STRIP * head_dim;
            let column = &mut self.keys[strip..strip + STRIP * head_dim];
            let column = column.iter_mut().skip(position % STRIP).step_by(STRIP);
            column
                .zip(key)
                .for_each(|(to, value)| *to = T::kept(*value, scale));
        }
    }

    /// # Shapes
    /// `[positions, head_dim]`.
    #[inline(always)]
    fn write_values(&mut self, start: usize, values: Rows<'_>) {
        let end = start + values.len();
        let scales = scales::<T>(&mut self.value_scales, start, end);
        for strip in &mut self.values {
            strip.grow_to(end * STRIP);
        }
        for (n, value) in values.iter().enumerate() {
            self.is_sound &= all_held::<T>(value);
            let scale = T::scale(value);
            scales.get_mut(n).into_iter().for_each(|to| *to = scale);
            for (strip, channels) in self.values.iter_mut().zip(value.chunks(STRIP)) {
                let row = &mut strip[(start + n) * STRIP..][..channels.len()];
                row.iter_mut()
                    .zip(channels)
                    .for_each(|(to, value)| *to = T::kept(*value, scale));
            }
        }
    }

    fn restore(&mut self, other: &Self, len: usize, head_dim: usize) {
        let n_keys = len.next_multiple_of(STRIP) * head_dim;
        self.is_sound = other.is_sound;
        self.keys.replace(&other.keys[..n_keys]);
        for (values, other) in self.values.iter_mut().zip(&other.values) {
            values.replace(&other[..len * STRIP]);
        }
        if T::IS_SCALED {
            self.key_scales.replace(&other.key_scales[..len]);
            self.value_scales.replace(&other.value_scales[..len]);
        }
    }

    /// The first `n_positions` keys as columns of `head_dim` rows, to be multiplied by [`Self::key_scales`].
    pub fn keys(&self, head_dim: usize, n_positions: usize) -> Strips<'_, T> {
        Strips {
            memory: StripMemory::InARow(&self.keys),
            n_inner: head_dim,
            n_columns: n_positions,
            are_fetched: false,
        }
    }

    /// The first `n_positions` values as rows of `head_dim` columns, to be multiplied by [`Self::value_scales`].
    pub fn values(&self, head_dim: usize, n_positions: usize) -> Strips<'_, T> {
        Strips {
            memory: StripMemory::Each(&self.values),
            n_inner: n_positions,
            n_columns: head_dim,
            are_fetched: false,
        }
    }

    /// False where something was written that could not be kept: no number, or one that is too large. What attends to
    /// it is then no number either, for the scores to show it.
    pub fn is_sound(&self) -> bool {
        self.is_sound
    }

    /// One for each position; none where keys are kept as they are.
    pub fn key_scales(&self) -> &[f32] {
        &self.key_scales
    }

    /// One for each position; none where values are kept as they are.
    pub fn value_scales(&self) -> &[f32] {
        &self.value_scales
    }
}

/// Room for the scales of positions `start..end`; none where positions have no scales.
fn scales<T: KvValue>(all: &mut AlignedValues<f32>, start: usize, end: usize) -> &mut [f32] {
    if !T::IS_SCALED {
        return &mut [];
    }
    all.grow_to(end);
    &mut all[start..end]
}
