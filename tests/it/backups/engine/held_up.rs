//! Writes in place that took so long that who reads may take what they have left so far for a file at rest.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use watchbell::{clock::wall_now, domain::backup::manifest::FileRecord};

use super::changing::rewrite;

/// A write takes a fraction of that. What lies still for twice as long is taken to be at rest.
const HELD_UP: SignedDuration = SignedDuration::from_millis(5);
/// A file's time may be so much behind the clock.
const TICKS: SignedDuration = SignedDuration::from_millis(20);
/// Writes in place that were held up: of which file, and from when to when. Who reads meanwhile finds a part of each of two
/// versions that lies still, which nothing tells from one.
#[derive(Clone, Debug, Default)]
pub(super) struct HeldUp(Arc<Mutex<Vec<(PathBuf, Timestamp, Timestamp)>>>);

impl HeldUp {
    pub(super) fn write(&self, path: &Path, content: &[u8]) {
        let began = wall_now();
        rewrite(path, content);
        let ended = wall_now();
        if HELD_UP <= ended.duration_since(began) {
            let held_up = (path.to_owned(), began - TICKS, ended);
            self.0.lock().unwrap().push(held_up);
        }
    }

    /// Whether what was read of a file may be what such a write had left until then.
    pub(super) fn has_left(&self, path: &Path, file: &FileRecord) -> bool {
        let changed = Timestamp::from_nanosecond(file.mtime.into()).unwrap();
        let held_up = self.0.lock().unwrap();
        held_up
            .iter()
            .any(|(of, began, ended)| of == path && (*began..=*ended).contains(&changed))
    }
}
