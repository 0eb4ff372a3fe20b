//! What an operation has read of packs.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustic_core::Id;
use tokio_util::sync::CancellationToken;

use super::gate::lock;

/// How far packs were read, and who hears of it.
pub(super) struct Reads {
    /// How far each was read.
    packs: Mutex<HashMap<Id, u64>>,
    bytes: AtomicU64,
    cancel: CancellationToken,
    tell: Box<dyn Fn(u64) + Send + Sync>,
}

impl Reads {
    pub(super) fn new(
        cancel: &CancellationToken,
        tell: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self {
            cancel: cancel.clone(),
            packs: Mutex::default(),
            bytes: AtomicU64::new(0),
            tell: Box::new(tell),
        }
    }

    /// How far each pack was read.
    pub(super) fn take(&self) -> HashMap<Id, u64> {
        std::mem::take(&mut *lock(&self.packs))
    }

    pub(super) fn add(&self, id: &Id, offset: u32, length: u32) {
        let length = u64::from(length);
        let upto = u64::from(offset) + length;
        let mut packs = lock(&self.packs);
        let furthest = packs.entry(*id).or_default();
        *furthest = upto.max(*furthest);
        drop(packs);
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        // Who has stopped it may have left.
        if !self.cancel.is_cancelled() {
            (self.tell)(before + length);
        }
    }
}
