//! The contents that rows name: uploaded before, and to stay.

use std::{collections::BTreeMap, io::ErrorKind, path::Path};

use super::blocking;
use crate::{
    error::{Error, Result},
    records::Documents,
    store::Tx,
};

impl Documents {
    /// Which of these contents are stored, and how large each is.
    pub(super) async fn contents_stored(
        &self,
        sha256s: Vec<String>,
    ) -> Result<BTreeMap<String, i64>> {
        if sha256s.is_empty() {
            return Ok(BTreeMap::new());
        }
        let data = self.settings().data.clone();
        blocking(move || {
            let mut stored = BTreeMap::new();
            for sha256 in sha256s {
                if let Some(size) = content_is_stored(&data, &sha256)? {
                    stored.insert(sha256, size);
                }
            }
            Ok(stored)
        })
        .await
    }

    /// The same within the write that lets documents hold them: what is in the answer stays.
    pub(super) async fn contents_held(
        &self,
        tx: &mut Tx,
        sha256s: Vec<String>,
    ) -> Result<BTreeMap<String, i64>> {
        let stored = self.contents_stored(sha256s).await?;
        if stored.is_empty() {
            return Ok(stored);
        }
        let stored: Vec<(String, i64)> = stored.into_iter().collect();
        tx.contents_hold(&stored).await?;
        // A sweep may have been quicker; none can be from now on.
        self.contents_stored(stored.into_iter().map(|(sha256, _)| sha256).collect())
            .await
    }
}

/// The size of a content, where it is stored.
fn content_is_stored(data: &Path, sha256: &str) -> Result<Option<i64>> {
    let shelf = sha256.get(..2).unwrap_or_default();
    match std::fs::metadata(data.join("contents").join(shelf).join(sha256)) {
        Ok(about) => i64::try_from(about.len())
            .map(Some)
            .map_err(Error::internal),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::unavailable("the content store", error)),
    }
}
