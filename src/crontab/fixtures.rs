//! The crontabs of Debian 12's packages, imported; `tests/it/crontabs/README.md` names their sources.

use super::tests::{parsed, text_at};
use super::*;

/// A crontab of a package, at the path where Debian installs it.
struct Fixture {
    path: &'static str,
    text: &'static str,
    /// Name, cron and user of each task, in the file's order.
    tasks: &'static [(&'static str, &'static str, &'static str)],
    /// Number and beginning of each line that is left out.
    left: &'static [(usize, &'static str)],
}

macro_rules! fixture {
    ($package:literal, $path:literal, $tasks:expr, $left:expr) => {
        Fixture {
            path: concat!("/etc/", $path),
            text: include_str!(concat!("../../tests/it/crontabs/", $package)),
            tasks: &$tasks,
            left: &$left,
        }
    };
}

#[rustfmt::skip]
const FIXTURES: [Fixture; 19] = [
    fixture!("amavisd-new/amavisd-new", "cron.d/amavisd-new", [
        ("amavisd-new-cronjob", "18 */3 * * *", "amavis"),
        ("amavisd-new-cronjob-2", "24 1 * * *", "amavis"),
    ], []),
    fixture!("anacron/anacron", "cron.d/anacron", [
        ("anacron-invoke-rc-d", "30 7-23 * * *", "root"),
    ], []),
    fixture!("atop/atop", "cron.d/atop", [("atop-daily", "0 0 * * *", "root")], []),
    fixture!("awstats/awstats", "cron.d/awstats", [
        ("awstats-update", "*/10 * * * *", "www-data"),
        ("awstats-buildstatic", "10 03 * * *", "www-data"),
    ], []),
    fixture!("cacti/cacti", "cron.d/cacti", [
        ("cacti-poller", "*/5 * * * *", "www-data"),
    ], []),
    fixture!("certbot/certbot", "cron.d/certbot", [("certbot", "0 */12 * * *", "root")], []),
    fixture!("cron-daemon-common/crontab", "crontab", [
        ("run-parts-cron-hourly", "17 * * * *", "root"),
        ("run-parts-cron-daily", "25 6 * * *", "root"),
        ("run-parts-cron-weekly", "47 6 * * 7", "root"),
        ("run-parts-cron-monthly", "52 6 1 * *", "root"),
    ], []),
    fixture!("e2fsprogs/e2scrub_all", "cron.d/e2scrub_all", [
        ("e2scrub-all-cron", "30 3 * * 0", "root"),
        ("e2scrub-all", "10 3 * * *", "root"),
    ], []),
    fixture!("logcheck/logcheck", "cron.d/logcheck", [
        ("logcheck", "2 * * * *", "logcheck"),
    ], [(6, "@reboot ")]),
    fixture!("mailman3/mailman3", "cron.d/mailman3", [
        ("mailman3-mailman", "0 8 * * *", "list"),
        ("mailman3-mailman-2", "0 12 * * *", "list"),
    ], []),
    fixture!("mdadm/mdadm", "cron.d/mdadm", [("mdadm-checkarray", "57 0 * * 0", "root")], []),
    fixture!("munin/munin", "cron.d/munin", [
        ("munin-cron", "*/5 * * * *", "munin"),
        ("munin-limits", "14 10 * * *", "munin"),
        ("munin-find", "27 03 * * *", "munin"),
        ("munin-find-2", "32 03 * * *", "www-data"),
    ], []),
    fixture!("munin-node/munin-node", "cron.d/munin-node", [
        ("munin-node-apt-all", "*/5 * * * *", "root"),
    ], []),
    fixture!("ntpsec/ntpsec", "cron.d/ntpsec", [
        ("ntpsec-rotate-stats", "25 6 * * *", "root"),
    ], []),
    fixture!("php-common/php", "cron.d/php", [
        ("php-sessionclean", "09,39 * * * *", "root"),
    ], []),
    fixture!("roundcube-core/roundcube-core", "cron.d/roundcube-core", [
        ("roundcube-core-cleandb", "0 5 * * *", "www-data"),
        ("roundcube-core-gc", "5,35 * * * *", "www-data"),
    ], []),
    fixture!("rsnapshot/rsnapshot", "cron.d/rsnapshot", [], []),
    fixture!("sa-exim/greylistclean", "cron.d/greylistclean", [
        ("greylistclean", "33 * * * *", "Debian-exim"),
    ], []),
    fixture!("sysstat/sysstat", "cron.d/sysstat", [
        ("sysstat-debian-sa1", "5-55/10 * * * *", "root"),
        ("sysstat-debian-sa1-2", "59 23 * * *", "root"),
    ], []),
];

fn file(fixture: &Fixture) -> CrontabFile {
    CrontabFile {
        path: fixture.path.into(),
        text: fixture.text.into(),
        ..CrontabFile::default()
    }
}

/// As on a host that has all of these packages.
fn options() -> Options {
    let names = FIXTURES.iter().flat_map(|fixture| fixture.tasks);
    let account = |(_, _, user): &(&str, &str, &str)| {
        let home = format!("/home/{user}");
        let account = Account {
            home,
            is_there: true,
        };
        ((*user).to_owned(), account)
    };
    Options {
        accounts: names.map(account).collect(),
        ..Options::default()
    }
}

#[test]
fn every_crontab_of_debian_is_carried_over_entry_by_entry() {
    for fixture in &FIXTURES {
        let path = fixture.path;
        let import = import(&[file(fixture)], &options());
        let figment = parsed(&import);
        assert_eq!(import.carried, fixture.tasks.len(), "{}", import.toml);
        assert_eq!(
            import.left.len(),
            fixture.left.len(),
            "{path}: {:?}",
            import.left
        );
        for (left, (line, start)) in import.left.iter().zip(fixture.left) {
            assert_eq!(left.line, *line, "{path}");
            assert!(left.text.starts_with(start), "{path}: {left:?}");
        }
        for (name, cron, user) in fixture.tasks {
            let at = |key: String| text_at(&figment, &key).unwrap_or_default();
            assert_eq!(
                at(format!("tasks.{name}.schedule.cron")),
                *cron,
                "{path}: {name}"
            );
            assert_eq!(
                at(format!("tasks.{name}.parameters.command")),
                *name,
                "{path}"
            );
            assert_eq!(at(format!("commands.{name}.user")), *user, "{path}: {name}");
            let task = import.tasks.iter().find(|task| task.name == *name);
            let line = task.unwrap().line;
            assert_line(fixture, line, cron, user, &argv(&figment, name));
        }
    }
}

fn argv(figment: &figment::Figment, name: &str) -> Vec<String> {
    figment
        .extract_inner(&format!("commands.{name}.argv"))
        .unwrap()
}

/// The fixture's line is the fields, the user and the command; all of these files need a shell.
fn assert_line(fixture: &Fixture, line: usize, cron: &str, user: &str, argv: &[String]) {
    let path = fixture.path;
    let line = fixture.text.lines().nth(line - 1).unwrap();
    assert_eq!(argv[..2], ["/bin/sh", "-c"], "{path}");
    let written = argv[2].replace('%', "\\%");
    let head = line
        .strip_suffix(&written)
        .unwrap_or_else(|| panic!("{line:?} {written:?}"));
    let words: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(words.join(" "), format!("{cron} {user}"), "{path}");
}

#[test]
fn all_of_debian_together_is_one_configuration() {
    let files: Vec<CrontabFile> = FIXTURES.iter().map(file).collect();
    let import = import(&files, &options());
    let figment = parsed(&import);
    let tasks = FIXTURES
        .iter()
        .map(|fixture| fixture.tasks.len())
        .sum::<usize>();
    assert_eq!((import.carried, import.left.len()), (tasks, 1));
    assert_eq!(
        text_at(&figment, "commands.sysstat-debian-sa1.environment.PATH").as_deref(),
        Some("/usr/lib/sysstat:/usr/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
    );
    assert_eq!(
        text_at(&figment, "commands.mdadm-checkarray.environment.PATH").as_deref(),
        Some("/usr/bin:/bin")
    );
    assert_eq!(
        text_at(&figment, "tasks.cacti-poller.owner").as_deref(),
        Some("root")
    );
    assert_eq!(
        text_at(&figment, "commands.cacti-poller.working_directory").as_deref(),
        Some("/home/www-data")
    );
}
