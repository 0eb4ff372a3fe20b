//! How long to wait before the next attempt: doubling, capped, jittered.

use std::time::Duration;

use uuid::Uuid;

/// Waits that double up to a cap, each shortened by up to a half at random.
///
/// The jitter keeps clients that lost the same server from coming back at the same instant; the
/// lower half keeps a server that fails at once from being asked in a tight loop.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits of about `first`, then twice that, and so on up to `cap`.
    #[must_use]
    pub fn new(first: Duration, cap: Duration) -> Self {
        Self {
            first,
            cap,
            failures: 0,
        }
    }

    /// The wait after one more failure.
    pub fn next_wait(&mut self) -> Duration {
        let random = Uuid::new_v4().as_u128() as u32;
        let fraction = f64::from(random) / f64::from(u32::MAX);
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(0.5 + fraction / 2.0)
    }

    /// Forgets the failures: something worked.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    fn bound(&self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures.min(30));
        self.first.saturating_mul(factor).min(self.cap)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(250), Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        for bound in [1, 2, 4, 5, 5] {
            let wait = backoff.next_wait();
            assert!(wait <= Duration::from_secs(bound), "{wait:?} of {bound}");
            assert!(wait >= Duration::from_millis(bound * 500), "{wait:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_secs(1));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert!(backoff.next_wait() <= Duration::from_secs(30));
        }
    }
}
