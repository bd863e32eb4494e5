//! Percentiles of many measurements.
//!
//! Promises: every percentile is a value that was measured (nearest rank), none is interpolated.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How values spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub count: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Spread {
    /// Of any values; all zeros of none.
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |per_cent: usize| {
            let rank = (values.len() * per_cent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or(0.0)
        };
        Spread {
            count: values.len() as u64,
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        }
    }

    /// Of times, in microseconds.
    pub fn of_times(times: &[Duration]) -> Spread {
        Spread::of(times.iter().copied().map(us).collect())
    }
}

/// A time in microseconds.
pub fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        let spread = Spread::of((1..=200).rev().map(f64::from).collect());
        assert_eq!(
            (spread.p50, spread.p90, spread.p99, spread.max),
            (100.0, 180.0, 198.0, 200.0)
        );
        let one = Spread::of(vec![7.0]);
        assert_eq!((one.p50, one.p99, one.max, one.count), (7.0, 7.0, 7.0, 1));
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }
}
