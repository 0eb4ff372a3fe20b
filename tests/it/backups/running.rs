//! A policy runs: what it makes counts once it has been read back, and not before.

use std::path::Path;

use watchbell_client::pb;

use super::{restic::everything_in, vault::Vault};
use crate::support::{Database, Site, on_both};

on_both!(a_backup_is_made_read_back_and_counted,);

async fn a_backup_is_made_read_back_and_counted(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"what is in it").await;

    let before = vault.statistics().await;
    assert_eq!(before.last_success_hours_ago, None);
    let run = vault.back_up("daily-full").await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let point = vault.newest().await;
    assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
    assert!(point.verify_time.is_some());
    assert!(point.drill_time.is_none());
    assert_eq!(point.run, run.name);
    assert_eq!(
        point.file_count, 4,
        "the dump, the content, and the configuration with its secrets and without"
    );
    let after = vault.statistics().await;
    assert_eq!(after.last_success_hours_ago, Some(0.0));
    assert_eq!((after.jobs_completed_24h, after.jobs_failed_24h), (1, 0));
    assert_eq!(
        after.restorable_as_of_time, None,
        "no drill has restored it"
    );

    // Debian's restic brings every file back, the dump included.
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
        let restored = restic.restore(&point.snapshot);
        let all = everything_in(restored.path());
        let dump = match site.database.is_postgresql() {
            true => "database/watchbell.dump",
            false => "database/watchbell.db",
        };
        assert_eq!(all[Path::new(dump)].len() as i64, point.dump_bytes);
        let content = everything_in(&site.data().join("contents"));
        for (path, bytes) in content
            .iter()
            .filter(|(path, _)| 64 <= path.as_os_str().len())
        {
            assert_eq!(all[&Path::new("content").join(path)], *bytes);
        }
    }
    server.stop().await;
}
