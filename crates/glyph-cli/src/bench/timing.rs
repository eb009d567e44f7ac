//! How long work takes: several runs, of which the middle one counts.

use std::time::Instant;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Runs that are not counted: the first compiles kernels and tries which are fastest, the second finds them.
const WARM_UP_RUNS: usize = 2;

/// Seconds of several runs of the same work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// The middle one, which counts.
    pub median: f64,
    /// The shortest.
    pub least: f64,
    /// The longest.
    pub most: f64,
    /// The very first, with whatever had to be prepared for it; not counted.
    pub first: f64,
}

impl Seconds {
    /// `None` of no runs.
    pub fn of(first: f64, mut runs: Vec<f64>) -> Option<Self> {
        runs.sort_by(f64::total_cmp);
        let (least, most) = (*runs.first()?, *runs.last()?);
        let median = (runs[(runs.len() - 1) / 2] + runs[runs.len() / 2]) / 2.0;
        Some(Self {
            median,
            least,
            most,
            first,
        })
    }

    /// So many things a run: each of them.
    pub fn per(self, count: usize) -> Self {
        let count = count.max(1) as f64;
        Self {
            median: self.median / count,
            least: self.least / count,
            most: self.most / count,
            first: self.first / count,
        }
    }

    /// Half of the range of the runs over their median: what the median may be off by.
    pub fn spread(self) -> f64 {
        (self.most - self.least) / 2.0 / self.median.max(f64::MIN_POSITIVE)
    }
}

/// Times `work` on a device that has nothing else to do. `work` ends by reading a value, so that it is done when it
/// returns.
pub fn measure(
    device: &Device,
    repeat: usize,
    mut work: impl FnMut() -> Result<(), String>,
) -> Result<Seconds, String> {
    let mut timed = || -> Result<f64, String> {
        wait(device)?;
        let start = Instant::now();
        work()?;
        wait(device)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let first = timed()?;
    for _ in 1..WARM_UP_RUNS {
        timed()?;
    }
    let runs = (0..repeat).map(|_| timed()).collect::<Result<_, _>>()?;
    Seconds::of(first, runs).ok_or_else(|| "nothing was run".to_owned())
}

/// Until the device has done all that it was given.
pub fn wait(device: &Device) -> Result<(), String> {
    device.sync().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::Seconds;

    #[test]
    fn the_middle_run_counts() {
        let odd = Seconds::of(9.0, vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.least, odd.median, odd.most), (1.0, 2.0, 3.0));
        assert_eq!((odd.first, odd.spread()), (9.0, 0.5));
        assert_eq!(Seconds::of(9.0, vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(odd.per(2).median, 1.0);
        assert_eq!(Seconds::of(9.0, vec![]), None);
    }
}
