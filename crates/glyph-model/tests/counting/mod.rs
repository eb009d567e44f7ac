//! An allocator that counts, for tests of what a piece of work takes of the heap. It counts all threads together: a
//! test that asks it is the only one of its binary.

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Bytes in use.
pub fn bytes_in_use() -> usize {
    HEAP.current_usage()
}

/// What `work` comes to, and the most bytes in use meanwhile beyond those in use before it.
pub fn with_peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = bytes_in_use();
    HEAP.reset_peak_usage();
    let done = work();
    (done, HEAP.peak_usage() - before)
}
