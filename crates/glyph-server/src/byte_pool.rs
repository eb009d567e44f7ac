//! What requests may hold together of the memory that clients fill.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Bytes that are counted as one.
const BYTES_PER_PERMIT: usize = 1 << 12;

/// A number of bytes shared by all requests; clones share it.
#[derive(Debug, Clone)]
pub struct BytePool(Arc<Semaphore>);

impl BytePool {
    /// With nothing held.
    pub fn new(most_bytes: usize) -> Self {
        let permits = most_bytes.div_ceil(BYTES_PER_PERMIT);
        Self(Arc::new(Semaphore::new(
            permits.min(Semaphore::MAX_PERMITS),
        )))
    }

    /// A request's part, still empty.
    pub fn hold(&self) -> ByteHold {
        ByteHold {
            pool: self.clone(),
            n_bytes: 0,
            permits: None,
        }
    }
}

/// What one request holds; it is free for others when this is dropped.
#[derive(Debug)]
pub struct ByteHold {
    pool: BytePool,
    n_bytes: usize,
    permits: Option<OwnedSemaphorePermit>,
}

impl ByteHold {
    /// Takes more. What arrives is counted, and not what a client says will come.
    ///
    /// # Errors
    /// [`Code::QueueFull`](crate::error::Code::QueueFull) when others hold too many.
    pub fn grow(&mut self, n_bytes: usize) -> Result<(), ApiError> {
        self.n_bytes += n_bytes;
        let held = self.permits.as_ref().map_or(0, |held| held.num_permits());
        let missing = self.n_bytes.div_ceil(BYTES_PER_PERMIT) - held;
        if missing == 0 {
            return Ok(());
        }
        let permits = u32::try_from(missing).unwrap_or(u32::MAX);
        let Ok(taken) = Arc::clone(&self.pool.0).try_acquire_many_owned(permits) else {
            return Err(ApiError::busy(
                "the bodies of other requests fill the memory that is kept for them. Try again in a moment",
            ));
        };
        match &mut self.permits {
            Some(held) => held.merge(taken),
            none => *none = Some(taken),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_PER_PERMIT, BytePool};

    #[test]
    fn what_one_holds_others_cannot_have_until_it_is_given_back() {
        let pool = BytePool::new(4 * BYTES_PER_PERMIT);
        let (mut one, mut other) = (pool.hold(), pool.hold());
        for _ in 0..3 {
            assert!(one.grow(BYTES_PER_PERMIT / 2).is_ok());
        }
        assert!(one.grow(BYTES_PER_PERMIT).is_ok());
        assert!(other.grow(1).is_ok());
        assert!(other.grow(BYTES_PER_PERMIT).is_err());
        drop(one);
        let mut third = pool.hold();
        assert!(third.grow(3 * BYTES_PER_PERMIT).is_ok());
        assert!(third.grow(1).is_err());
    }
}
