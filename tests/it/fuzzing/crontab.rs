//! What holds for any text as a crontab.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use watchbell::{
    clock::Stopwatch,
    config::Config,
    crontab::{Account, CrontabFile, Encoding, Form, Options, disabled, explain, import},
};

use super::file::written;

/// On any machine, however busy.
const ENOUGH: Duration = Duration::from_secs(10);
/// What took longer is done again: the processor may have been another's.
const TRIES: usize = 3;
const PATHS: [&str; 3] = [
    "/etc/cron.d/nightly",
    "crontab",
    "/var/spool/cron/crontabs/ada",
];

/// It becomes a configuration that loads, in which every line is accounted for.
pub(crate) fn check(bytes: &[u8]) {
    let is_soon = || {
        let watch = Stopwatch::start();
        check_once(bytes);
        watch.elapsed() < ENOUGH
    };
    assert!(
        (0..TRIES).any(|_| is_soon()),
        "it takes longer than {ENOUGH:?}"
    );
}

fn check_once(bytes: &[u8]) {
    for (form, path) in [Form::System, Form::User, Form::Auto]
        .into_iter()
        .zip(PATHS)
    {
        // As the command reads it.
        let file = CrontabFile::read(path, bytes, Encoding::Utf8);
        let text = file.text.clone();
        let root = Account {
            home: "/root".to_owned(),
            is_there: true,
        };
        let options = Options {
            form,
            time_zone: Some("Europe/Paris".to_owned()),
            current_user: Some("root".to_owned()),
            accounts: BTreeMap::from([("root".to_owned(), root)]),
            ..Options::default()
        };
        let imported = import(&[file], &options);
        let (_place, flags) = written(imported.toml.as_bytes());
        let config = Config::load(&flags);
        let config = config.unwrap_or_else(|error| panic!("{error:#}\n{}", imported.toml));
        assert_eq!(config.tasks.len(), imported.carried, "{}", imported.toml);
        assert_eq!(config.commands.len(), imported.carried, "{}", imported.toml);
        let left: BTreeSet<usize> = imported.left.iter().map(|left| left.line).collect();
        assert_eq!(left.len(), imported.left.len(), "a line is left out once");
        let tasks: BTreeSet<usize> = imported.tasks.iter().map(|task| task.line).collect();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = index + 1;
            let is_carried = tasks.contains(&number);
            let content = line.trim_matches([' ', '\t']);
            // A setting that is carried shows in the entries below it.
            let says_nothing = content.is_empty() || content.starts_with('#');
            let times = usize::from(is_carried) + usize::from(left.contains(&number));
            let is_setting = content.contains('=');
            assert!(
                times == 1 || times == 0 && (says_nothing || is_setting),
                "line {number}: {line:?}"
            );
        }
        assert_eq!(tasks.len(), imported.carried, "{}", imported.toml);
        let told = explain(&imported, &options, jiff::Timestamp::UNIX_EPOCH);
        assert!(!told.contains('\u{1b}'), "{told:?}");
        let without = disabled(bytes, &tasks);
        let again = import(
            &[CrontabFile::read(path, &without, Encoding::Utf8)],
            &options,
        );
        // What is left of a file may have another form than all of it.
        let is_settled = form != Form::Auto;
        assert!(again.carried == 0 || !is_settled, "{}", again.toml);
        for left in &imported.left {
            assert!(!left.reason.contains(char::is_control), "{left:?}");
        }
        // Each entry repeats the settings above it, and a character may become six.
        let lines = text.lines().count() + 1;
        assert!(
            imported.toml.len() <= 2_000 * lines + 12 * text.len() * lines,
            "{} bytes",
            imported.toml.len()
        );
    }
}
