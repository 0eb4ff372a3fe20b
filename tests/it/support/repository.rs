//! Backups that cost a story little: a repository that is there already, whose key takes no time to unlock; or none.
//!
//! The password of a real one is stretched until it has taken a third of a second and 128 MB, for the server, its
//! helpers and restic alike; most stories of backups are not about that. This one asks a sixteenth of a thousandth.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

use watchbell_client::pb;

use super::{Server, Site};

/// What opens it.
pub(crate) const PASSWORD: &str = "correct horse";

const CONFIG: &[u8] = include_bytes!("../backups/repository/config");
const KEY: (&str, &[u8]) = (
    "c91f8428778bb43cd1ba59a7f5ac7e8692a822ac98397ec8a9d52fae6cb10086",
    include_bytes!(
        "../backups/repository/keys/c91f8428778bb43cd1ba59a7f5ac7e8692a822ac98397ec8a9d52fae6cb10086"
    ),
);

/// Puts the repository, with nothing in it, in a place that is free.
pub(crate) fn lay(place: &Path) {
    let folders = ["snapshots", "index", "keys", "locks"].map(str::to_owned);
    let packs = (0..=255).map(|number| format!("data/{number:02x}"));
    for folder in folders.into_iter().chain(packs) {
        let mut maker = DirBuilder::new();
        let made = maker.recursive(true).mode(0o700);
        made.create(place.join(folder)).unwrap();
    }
    fs::write(place.join("keys").join(KEY.0), KEY.1).unwrap();
    fs::write(place.join("config"), CONFIG).unwrap();
}

impl Site {
    /// With this repository where its servers have their own, and the password beside it.
    pub(crate) fn with_repository(self) -> Self {
        let own = self.data().join("backups");
        lay(&own.join("repository"));
        let password = own.join("password");
        fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
        self
    }
}

impl Server {
    /// Pauses what is done for backups each night, and takes seconds, more where others want the processor: for a
    /// story of many days that is not about it.
    pub(crate) async fn without_backups(&self) {
        let policies = ["daily-full", "weekly-export", "monthly-archive"];
        let policies = policies.map(|policy| format!("backup-{policy}"));
        for task in policies
            .iter()
            .map(String::as_str)
            .chain(["verify-backups", "backup-cleanup"])
        {
            let request = pb::PauseTaskRequest {
                name: format!("tasks/{task}"),
                ..Default::default()
            };
            self.client.tasks().pause_task(request).await.unwrap();
        }
    }

    /// Cleans up again, which was paused with the rest: what was due meanwhile is not caught up.
    pub(crate) async fn with_cleanups(&self) {
        let request = pb::ResumeTaskRequest {
            name: "tasks/backup-cleanup".to_owned(),
            ..Default::default()
        };
        self.client.tasks().resume_task(request).await.unwrap();
    }
}
