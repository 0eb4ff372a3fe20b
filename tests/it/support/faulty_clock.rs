//! A clock that panics in the hands of one part of the product: how a test makes a loop panic.

use std::{
    backtrace::Backtrace,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use watchbell::clock::{Between, Clock, ManualClock};

/// A manual clock with a fault; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FaultyClock {
    clock: ManualClock,
    is_armed: Arc<AtomicBool>,
    /// What stands in the path of who is to meet it, such as `engine::scheduler`.
    asker: Arc<Mutex<Option<&'static str>>>,
}

impl FaultyClock {
    pub(crate) fn on(clock: &ManualClock) -> Self {
        Self {
            clock: clock.clone(),
            is_armed: Arc::default(),
            asker: Arc::default(),
        }
    }

    /// The next time that this part of the product asks for the time, it panics.
    pub(crate) fn panics_once_in(&self, asker: &'static str) {
        *self.asker.lock().unwrap() = Some(asker);
        self.is_armed.store(true, Ordering::SeqCst);
    }

    fn perhaps_panic(&self) {
        if !self.is_armed.load(Ordering::SeqCst) {
            return;
        }
        let Some(asker) = *self.asker.lock().unwrap() else {
            return;
        };
        let path = Backtrace::force_capture().to_string();
        // Only one of them.
        if !path.contains(asker) || self.asker.lock().unwrap().take().is_none() {
            return;
        }
        self.is_armed.store(false, Ordering::SeqCst);
        panic!("the clock is broken");
    }
}

impl Clock for FaultyClock {
    fn now(&self) -> Timestamp {
        self.perhaps_panic();
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(deadline)
    }

    fn passed(&self) -> Duration {
        self.clock.passed()
    }

    fn sleep_for(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep_for(span)
    }

    fn anchor(&self, read: Between) {
        self.clock.anchor(read);
    }

    fn since_boot(&self) -> Duration {
        self.clock.since_boot()
    }

    fn boot(&self) -> String {
        self.clock.boot()
    }

    fn is_synchronised(&self) -> Option<bool> {
        self.clock.is_synchronised()
    }
}
