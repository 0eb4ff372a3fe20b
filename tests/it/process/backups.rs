//! `bellctl backup` and `watchbell export verify` against the real programs, as people type them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{
    harness::{Place, becomes, finish},
    server::Server,
};

#[test]
fn a_backup_is_run_shown_verified_and_restored_by_commands() {
    let place = Place::new("");
    let server = place.serve();
    let none = server.bellctl(&["backup", "list"]);
    assert!(none.stdout.contains("no restore points"), "{none:?}");
    let never = server.bellctl(&["backup", "stats"]);
    assert!(never.stdout.contains("never"), "{never:?}");

    let run = server.bellctl(&["backup", "run", "daily-full", "--wait"]);
    assert_eq!(run.code(), 0, "{run:?}");
    assert!(run.stdout.contains("succeeded"), "{run:?}");
    let listed = server.json(&["backup", "list"]);
    let name = listed["restorePoints"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let id = name.strip_prefix("restorePoints/").unwrap();
    let shown = server.bellctl(&["backup", "show", &id[..13]]);
    for says in ["read back", "STEP", "archive", "structure"] {
        assert!(shown.stdout.contains(says), "{says}: {shown:?}");
    }
    let drill = server.bellctl(&["backup", "drill", "--wait"]);
    assert_eq!(drill.code(), 0, "{drill:?}");
    let stats = server.json(&["backup", "stats"]);
    assert_eq!(stats["statistics"]["lastSuccessHoursAgo"], 0.0, "{stats}");
    assert!(
        stats["statistics"]["restorableAsOfTime"].is_string(),
        "{stats}"
    );
    let status = server.bellctl(&["status"]);
    assert!(status.stdout.contains("last good backup"), "{status:?}");

    let unasked = server.bellctl(&["backup", "restore", "latest", "--to", "friday"]);
    assert_eq!(unasked.code(), 2, "{unasked:?}");
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    let planned = server.json(&[
        "backup",
        "restore",
        "latest",
        "--to",
        "friday",
        "--plan-only",
    ]);
    assert_eq!(planned["fileCount"], "3", "{planned}");
    let restored = server.bellctl(&[
        "backup", "restore", "latest", "--to", "friday", "--yes", "--wait",
    ]);
    assert_eq!(restored.code(), 0, "{restored:?}");
    assert!(
        place
            .data()
            .join("restores/friday/database/watchbell.db")
            .is_file()
    );
    let again = server.bellctl(&["backup", "restore", "latest", "--to", "friday", "--yes"]);
    assert_eq!(again.code(), 8, "{again:?}");
    assert!(again.stdout.contains("is there and not empty"), "{again:?}");

    let pinned = server.bellctl(&["backup", "pin", "latest", "--reason", "the audit"]);
    assert_eq!(pinned.code(), 0, "{pinned:?}");
    let plan = server.bellctl(&["backup", "plan-retention"]);
    assert!(
        plan.stdout.contains("the audit") && plan.stdout.contains("1 stay, 0 go"),
        "{plan:?}"
    );
    let watch = server.bellctl(&["backup", "watch"]);
    assert!(watch.stdout.contains("is under way"), "{watch:?}");
    let unknown = server.bellctl(&["backup", "show", "ffffffff"]);
    assert_eq!(unknown.code(), 2, "{unknown:?}");
}

#[test]
fn a_policy_is_made_changed_and_deleted_by_commands() {
    let place = Place::new("");
    let server = place.serve();
    let fields = [
        "--cron",
        "0 * * * *",
        "--source",
        "database",
        "--keep-hourly",
        "24",
        "--keep-daily",
        "7",
    ];
    let create = [&["backup", "policy", "create", "hourly"][..], &fields].concat();
    let made = server.bellctl(&create);
    assert!(
        made.stdout.contains("created backupPolicies/hourly"),
        "{made:?}"
    );
    assert_eq!(server.bellctl(&create).code(), 8);
    let shown = server.bellctl(&["backup", "policy", "show", "hourly"]);
    assert!(shown.stdout.contains("24 hourly, 7 daily"), "{shown:?}");
    let changed = server.bellctl(&[
        "backup",
        "policy",
        "update",
        "hourly",
        "--cron",
        "30 * * * *",
    ]);
    assert!(changed.stdout.contains("30 * * * *"), "{changed:?}");
    let kept = server.bellctl(&["backup", "policy", "show", "hourly"]);
    assert!(
        kept.stdout.contains("24 hourly, 7 daily"),
        "what was not given stays: {kept:?}"
    );
    let task = server.bellctl(&["task", "update", "backup-hourly", "--cron", "0 3 * * *"]);
    assert_eq!(task.code(), 8, "{task:?}");
    assert!(task.stderr.contains("backupPolicies/hourly"), "{task:?}");
    let off = server.bellctl(&["backup", "policy", "disable", "hourly"]);
    assert!(off.stdout.contains("it is disabled"), "{off:?}");
    assert_eq!(server.bellctl(&["backup", "run", "hourly"]).code(), 8);
    let wrong = server.bellctl(&["backup", "policy", "update", "hourly", "--keep-last", "-1"]);
    assert_ne!(wrong.code(), 0);
    assert_eq!(
        server
            .bellctl(&["backup", "policy", "delete", "hourly"])
            .code(),
        0
    );
    assert_eq!(
        server
            .bellctl(&["backup", "policy", "show", "hourly"])
            .code(),
        6
    );
}

#[test]
fn an_export_that_was_changed_is_found_out() {
    let place = Place::new("");
    let server = place.serve();
    for policy in ["daily-full", "weekly-export"] {
        let run = server.bellctl(&["backup", "run", policy, "--wait"]);
        assert_eq!(run.code(), 0, "{run:?}");
    }
    let exports = place.data().join("backups/exports");
    let names = || {
        fs::read_dir(&exports)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    let export = names()
        .find(|path| path.extension().is_some_and(|end| end == "zst"))
        .unwrap();
    assert_eq!(
        fs::metadata(&export).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let verify = || {
        let mut command = place.program(env!("CARGO_BIN_EXE_watchbell"));
        command.args(["export", "verify"]).arg(&export);
        finish(command)
    };
    let good = verify();
    assert_eq!(good.code(), 0, "{good:?}");
    assert!(good.stdout.contains("0 findings"), "{good:?}");

    let whole = fs::read(&export).unwrap();
    let sidecar =
        export.with_file_name(format!("{}.sha256", export.file_name().unwrap().display()));
    let sum = fs::read(&sidecar).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (bytes, sum) in [
        (&flipped[..], &sum[..]),
        (&whole[..whole.len() - 100], &sum),
        (&whole, b"0000  x\n"),
        (b"no export", &sum),
    ] {
        fs::write(&export, bytes).unwrap();
        fs::write(&sidecar, sum).unwrap();
        let found = verify();
        assert_eq!(found.code(), 6, "{found:?}");
        assert!(!found.stdout.contains(" 0 findings"), "{found:?}");
    }
    fs::remove_file(&sidecar).unwrap();
    fs::write(&export, &whole).unwrap();
    let bare = verify();
    assert_eq!(bare.code(), 6, "{bare:?}");
    assert!(bare.stdout.contains("could not read"), "{bare:?}");
}

/// Files with contents that do not compress: a backup of them takes a while.
fn heavy(place: &Place) -> std::path::PathBuf {
    let folder = place.path("heavy");
    fs::create_dir(&folder).unwrap();
    let mut state = 7_u64;
    for number in 0..60 {
        let mut bytes = Vec::with_capacity(1 << 20);
        while bytes.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_be_bytes());
        }
        fs::write(folder.join(number.to_string()), bytes).unwrap();
    }
    folder
}

fn count(folder: &std::path::Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

fn below(folder: &std::path::Path) -> usize {
    let folders = fs::read_dir(folder).into_iter().flatten();
    folders.map(|entry| count(&entry.unwrap().path())).sum()
}

fn is_over(server: &Server<'_>, run: &str) -> bool {
    server.run(run)["state"] == "RUN_STATE_SUCCEEDED"
}

#[test]
fn a_server_that_is_killed_while_it_backs_up_leaves_a_sound_repository_and_goes_on() {
    let place = Place::new("");
    let folder = heavy(&place);
    place.configure(&format!(
        "[backups.sources.heavy]\npaths = [{:?}]\n",
        folder.display().to_string()
    ));
    let server = place.serve();
    let create = [
        "backup",
        "policy",
        "create",
        "heavy",
        "--source",
        "heavy",
        "--source",
        "database",
        "--keep-last",
        "9",
    ];
    assert_eq!(server.bellctl(&create).code(), 0);
    let mut server = Some(server);
    let backups = place.data().join("backups");
    for (step, moment) in ["queued", "staged", "storing", "stored"]
        .into_iter()
        .enumerate()
    {
        // Other contents each time, so that there is work to do.
        for number in 0..60 {
            let path = folder.join(number.to_string());
            let mut bytes = fs::read(&path).unwrap();
            bytes[..8].copy_from_slice(&(step as u64 + 1).to_be_bytes());
            fs::write(&path, bytes).unwrap();
        }
        let killed = server.take().unwrap();
        let snapshots = count(&backups.join("repository/snapshots"));
        let packs = below(&backups.join("repository/data"));
        let run = killed.json(&["backup", "run", "heavy"]);
        let run = run["name"].as_str().unwrap().to_owned();
        // It is over before it is seen, perhaps: then it is killed with nothing left to do.
        let reached = || match moment {
            "queued" => true,
            "staged" => 0 < count(&backups.join("staging")),
            "storing" => packs < below(&backups.join("repository/data")),
            _ => snapshots < count(&backups.join("repository/snapshots")),
        };
        becomes(moment, || reached() || is_over(&killed, &run));
        killed.crash();
        let next = place.serve();
        let run = next.waited(&run);
        assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{moment}: {run}");
        server = Some(next);
    }
    let points = server.as_ref().unwrap().json(&["backup", "list"]);
    assert_eq!(
        points["restorePoints"].as_array().unwrap().len(),
        4,
        "{points}"
    );
    // It is removed beside the run's end.
    becomes("what was staged to be gone", || {
        count(&backups.join("staging")) == 0
    });
    let password = fs::read_to_string(place.data().join("backups/password")).unwrap();
    let repository = place.data().join("backups/repository");
    if let Some(restic) = crate::backups::restic::Restic::at(&repository, password.trim()) {
        restic.finds_it_sound();
    }
}
