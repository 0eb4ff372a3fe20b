//! Time, as a port: what the time is, and waiting for a later one.
//!
//! [`AnchoredClock`] is the real one: an anchor plus the monotonic time that has passed since, so a
//! step of the wall clock between two samples disturbs nothing. Where the anchor comes from is
//! injected: the wall clock on SQLite, the database's clock on PostgreSQL. [`ManualClock`] stands
//! still until a test moves it.

mod between;
mod kernel;

use std::{
    fmt::Debug,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

pub use between::Between;

/// Where every room gets the time from. Instants are cut to microseconds, which is what the
/// databases keep.
pub trait Clock: Debug + Send + Sync {
    fn now(&self) -> Timestamp;

    /// Completes once `now()` has reached `deadline`.
    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()>;

    /// How much time has passed since some moment, whatever the clock was set to meanwhile: for how long
    /// something may take.
    fn passed(&self) -> Duration;

    /// Completes once so much time has passed from now on.
    fn sleep_for(&self, span: Duration) -> BoxFuture<'static, ()>;

    /// Moves the clock to where another was read, by no more than that reading proves, where it runs by an anchor;
    /// nothing where it does not.
    fn anchor(&self, read: Between);

    /// How much time has passed since the machine was started, its sleep included: what explains a clock that has jumped.
    fn since_boot(&self) -> Duration;

    /// Names that start of the machine: spans since it can be compared where this is the same.
    fn boot(&self) -> String;

    /// Whether something keeps the host's clock right, or has set it since the start; none where the host does not tell.
    fn is_synchronised(&self) -> Option<bool>;
}

pub type SharedClock = Arc<dyn Clock>;

/// A stopwatch for figures: never for what is due.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The wall clock's reading, cut to microseconds.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall_now() -> Timestamp {
    cut(Timestamp::now())
}

/// `instant` without what is below a microsecond.
pub fn cut(instant: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(instant.as_microsecond()).unwrap_or(instant)
}

/// What the kernel tells of the time since the start, sleep included, in hundredths of a second.
const UPTIME: &str = "/proc/uptime";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// Made by systemd-timesyncd where it runs, and in it a file once it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync";

fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string(UPTIME).ok()?;
    let seconds: f64 = text.split_ascii_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    at: Timestamp,
    since: Instant,
}

/// An anchor plus the monotonic time since.
#[derive(Clone, Debug)]
pub struct AnchoredClock {
    anchor: Arc<watch::Sender<Anchor>>,
    made: Stopwatch,
}

impl AnchoredClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn at(now: Timestamp) -> Self {
        let anchor = Anchor {
            at: cut(now),
            since: Instant::now(),
        };
        Self {
            anchor: Arc::new(watch::Sender::new(anchor)),
            made: Stopwatch::start(),
        }
    }
}

/// Whole spans are below what `Timestamp` holds for 10,000 years; past its end it stays there.
fn read(anchor: Anchor) -> Timestamp {
    let passed = SignedDuration::try_from(anchor.since.elapsed()).unwrap_or(SignedDuration::MAX);
    cut(anchor.at.saturating_add(passed).unwrap_or(Timestamp::MAX))
}

impl Clock for AnchoredClock {
    fn now(&self) -> Timestamp {
        read(*self.anchor.borrow())
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        let mut anchor = self.anchor.subscribe();
        Box::pin(async move {
            loop {
                let now = read(*anchor.borrow_and_update());
                let Ok(wait) = Duration::try_from(deadline.duration_since(now)) else {
                    return;
                };
                if wait.is_zero() {
                    return;
                }
                // A moved anchor changes how long is left; an error means the clock is gone.
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    moved = anchor.changed() => if moved.is_err() {
                        tokio::time::sleep(wait).await;
                        return;
                    }
                }
            }
        })
    }

    fn passed(&self) -> Duration {
        self.made.elapsed()
    }

    fn sleep_for(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn anchor(&self, read: Between) {
        self.anchor.send_if_modified(|anchor| {
            let now = self::read(*anchor);
            let nearest = read.nearest(now);
            let moves = nearest != now;
            if moves {
                *anchor = Anchor {
                    at: cut(nearest),
                    since: Instant::now(),
                };
            }
            moves
        });
    }

    /// Where the kernel does not tell, the time for which the machine was awake.
    fn since_boot(&self) -> Duration {
        uptime().unwrap_or_else(|| self.passed())
    }

    fn boot(&self) -> String {
        let id = std::fs::read_to_string(BOOT);
        // Of those without, none is like another.
        id.map_or_else(
            |_| uuid::Uuid::now_v7().to_string(),
            |id| id.trim().to_owned(),
        )
    }

    fn is_synchronised(&self) -> Option<bool> {
        let folder = Path::new(TIMESYNC);
        let by_timesyncd = folder
            .is_dir()
            .then(|| folder.join("synchronized").exists());
        either(kernel::is_synchronised(), by_timesyncd)
    }
}

/// What two say of it, of whom one that calls it right is enough: the kernel calls no clock so that is kept by
/// systemd-timesyncd beside a hardware clock in local time, and systemd-timesyncd none that another keeps.
fn either(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one || other),
        _ => one.or(other),
    }
}

/// A clock that stands still until it is told to move, in either direction.
#[derive(Clone, Debug)]
pub struct ManualClock {
    reading: Arc<watch::Sender<Reading>>,
    boot: uuid::Uuid,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    now: Timestamp,
    passed: Duration,
    since_boot: Duration,
    is_synchronised: Option<bool>,
}

impl ManualClock {
    pub fn at(now: Timestamp) -> Self {
        let reading = Reading {
            now,
            passed: Duration::ZERO,
            since_boot: Duration::ZERO,
            is_synchronised: None,
        };
        Self {
            reading: Arc::new(watch::Sender::new(reading)),
            boot: uuid::Uuid::now_v7(),
        }
    }

    /// Lets time pass, and wakes every sleeper whose deadline has come.
    pub fn advance(&self, by: SignedDuration) {
        self.reading.send_modify(|reading| {
            let by_passing = Duration::try_from(by).unwrap_or_default();
            reading.now += by;
            reading.passed += by_passing;
            reading.since_boot += by_passing;
        });
    }

    /// Sets the clock, forward or back; no time passes for who is awake. Forward, as where the machine has slept.
    pub fn set(&self, now: Timestamp) {
        self.reading.send_modify(|reading| {
            let slept = now.duration_since(reading.now);
            reading.since_boot += Duration::try_from(slept).unwrap_or_default();
            reading.now = now;
        });
    }

    /// Sets the clock, forward or back, and nothing explains it.
    pub fn jump(&self, now: Timestamp) {
        self.reading.send_modify(|reading| reading.now = now);
    }

    /// What the host tells of it.
    pub fn synchronise(&self, is_synchronised: Option<bool>) {
        self.reading
            .send_modify(|reading| reading.is_synchronised = is_synchronised);
    }

    /// Completes once the reading is so.
    fn sleep(
        &self,
        mut is_over: impl FnMut(&Reading) -> bool + Send + 'static,
    ) -> BoxFuture<'static, ()> {
        let mut reading = self.reading.subscribe();
        Box::pin(async move {
            if reading.wait_for(|reading| is_over(reading)).await.is_err() {
                // The clock is gone, and with it whoever could have moved it.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.reading.borrow().now
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.sleep(move |reading| deadline <= reading.now)
    }

    fn passed(&self) -> Duration {
        self.reading.borrow().passed
    }

    fn sleep_for(&self, span: Duration) -> BoxFuture<'static, ()> {
        let over = self.passed().saturating_add(span);
        self.sleep(move |reading| over <= reading.passed)
    }

    fn anchor(&self, _: Between) {}

    fn since_boot(&self) -> Duration {
        self.reading.borrow().since_boot
    }

    fn boot(&self) -> String {
        self.boot.to_string()
    }

    fn is_synchronised(&self) -> Option<bool> {
        self.reading.borrow().is_synchronised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_right_where_anyone_says_so() {
        let (right, unset) = (Some(true), Some(false));
        for (kernel, timesyncd, both) in [
            (right, unset, right),
            (unset, right, right),
            (unset, unset, unset),
            (None, unset, unset),
            (unset, None, unset),
            (None, None, None),
        ] {
            assert_eq!(either(kernel, timesyncd), both, "{kernel:?} {timesyncd:?}");
        }
    }

    #[tokio::test]
    async fn a_sleeper_wakes_when_the_clock_reaches_its_deadline() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let mut nap = clock.sleep_until(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(10));

        clock.advance(SignedDuration::from_secs(9));
        assert!(futures_util::poll!(&mut nap).is_pending());
        clock.advance(SignedDuration::from_secs(1));
        nap.await;
    }

    #[tokio::test]
    async fn a_moved_anchor_wakes_a_sleeper_that_is_then_due() {
        let clock = AnchoredClock::at(Timestamp::UNIX_EPOCH);
        let hour = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1);
        let mut nap = clock.sleep_until(hour);
        assert!(futures_util::poll!(&mut nap).is_pending());

        clock.anchor(Between::read(hour, Duration::ZERO));

        nap.await;
        assert!(hour <= clock.now());
    }

    #[tokio::test]
    async fn a_reading_that_took_long_moves_no_clock_that_may_be_right() {
        let clock = AnchoredClock::at(Timestamp::UNIX_EPOCH);
        clock.anchor(Between::read(
            Timestamp::UNIX_EPOCH - SignedDuration::from_secs(1),
            Duration::from_secs(3_600),
        ));
        let now = clock.now();
        assert!(
            now < Timestamp::UNIX_EPOCH + SignedDuration::from_mins(20),
            "half of what it took is a guess: {now}"
        );
    }

    #[tokio::test]
    async fn a_clock_that_is_set_lets_no_time_pass() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let mut nap = clock.sleep_for(Duration::from_secs(10));

        clock.set(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(1));
        assert!(futures_util::poll!(&mut nap).is_pending());
        clock.advance(SignedDuration::from_secs(10));
        nap.await;
    }
}
