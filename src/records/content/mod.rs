//! Contents of documents: stored once, by their hash, and never written again.
//!
//! They lie in the data directory, which all replicas share, as `contents/{first 2 digits}/{SHA-256}`. What
//! comes in is hashed on its way to a file in `contents/incoming`, which takes its place by a rename once all of
//! it is right and on the disk. What goes out is hashed on its way, too, and its last bytes only go once the hash
//! is right; a file that is not what its name says is moved to `contents/damaged`.
//!
//! A row in `contents` says when a content was last asked for. Who makes a document hold one touches that row, and
//! then looks at the disk. The sweep has the row *leave*, takes the file away once that is committed, and deletes the row
//! then: no transaction waits for its disk. One of the two waits for the other: either the sweep finds a row that is young,
//! or who wants the content one that leaves, and says so. So no document ever gets a content that is being taken away.
//! What was taken away waits in `contents/swept`. A sweep that was held up there may have come too late, and its lease be
//! another's: so nothing in there is removed before the rows were asked once more, and what anything holds is put back.

mod download;
mod files;
mod health;
mod partial;
mod receive;
mod sweep;
mod upload;

use std::{collections::BTreeMap, path::Path};

use self::files::Files;
pub use self::{
    sweep::{Orphan, Removed, TakenAway},
    upload::{NewContent, Received, Uploaded, check_texts},
};
use super::{Documents, disk};
use crate::{
    error::{Error, Result},
    store::Tx,
};

/// What is said to be away where the disk is.
const STORE: &str = "the content store";

/// Bounds of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentLimits {
    /// Largest content, in bytes.
    pub max_bytes: u64,
    /// How long what no document holds is kept: longer than a backup takes.
    pub keep_unused_for: std::time::Duration,
}

impl Documents {
    /// Makes it safe that this write lets documents hold these contents: those that are on the disk stay there.
    /// Says how large each is; what is missing from the answer is not stored.
    ///
    /// # Errors
    /// Where the disk or the database is away.
    pub async fn hold_contents(
        &self,
        tx: &mut Tx,
        sha256s: &[String],
    ) -> Result<BTreeMap<String, i64>> {
        let sizes = self.sizes_on_disk(sha256s.to_vec()).await?;
        let touched: Vec<(String, i64)> = sizes.into_iter().collect();
        let leave = tx.contents_touch(&touched).await?;
        // A sweep that was quicker has committed by now, and its files are gone, or about to go.
        let sha256s = touched.into_iter().map(|(sha256, _)| sha256);
        let stay = sha256s.filter(|sha256| !leave.contains(sha256));
        self.sizes_on_disk(stay.collect()).await
    }

    /// How large these contents are, those that are stored.
    pub(in crate::records) async fn sizes_on_disk(
        &self,
        sha256s: Vec<String>,
    ) -> Result<BTreeMap<String, i64>> {
        let (files, place) = (self.files(), self.settings().data.join("contents"));
        disk::look(STORE, &place, move || {
            let mut sizes = BTreeMap::new();
            for sha256 in sha256s {
                if let Some(size) = files.size(&sha256).map_err(away)? {
                    sizes.insert(sha256, as_size(size));
                }
            }
            Ok(sizes)
        })
        .await
    }

    fn files(&self) -> Files {
        Files::below(&self.settings().data)
    }
}

/// Work that waits for the disk, where nothing else waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    disk::blocking(STORE, work).await
}

fn away(error: std::io::Error) -> Error {
    Error::unavailable(STORE, error)
}

/// As the database counts.
fn as_size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a path's last part, where it is text.
fn name_of(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}
