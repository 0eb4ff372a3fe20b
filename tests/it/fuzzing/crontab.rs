//! What holds for any text as a crontab.

use std::{collections::BTreeSet, time::Duration};

use watchbell::{
    clock::Stopwatch,
    config::Config,
    crontab::{CrontabFile, Form, Options, import},
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
    // As the command reads it.
    let text = String::from_utf8_lossy(bytes);
    let is_soon = || {
        let watch = Stopwatch::start();
        check_once(&text);
        watch.elapsed() < ENOUGH
    };
    assert!(
        (0..TRIES).any(|_| is_soon()),
        "it takes longer than {ENOUGH:?}"
    );
}

fn check_once(text: &str) {
    for (form, path) in [Form::System, Form::User, Form::Auto]
        .into_iter()
        .zip(PATHS)
    {
        let file = CrontabFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let options = Options {
            form,
            time_zone: Some("Europe/Paris".to_owned()),
            current_user: Some("root".to_owned()),
        };
        let imported = import(&[file], &options);
        let (_place, flags) = written(imported.toml.as_bytes());
        let config = Config::load(&flags);
        let config = config.unwrap_or_else(|error| panic!("{error:#}\n{}", imported.toml));
        assert_eq!(config.tasks.len(), imported.carried, "{}", imported.toml);
        assert_eq!(config.commands.len(), imported.carried, "{}", imported.toml);
        let left: BTreeSet<usize> = imported.left.iter().map(|left| left.line).collect();
        assert_eq!(left.len(), imported.left.len(), "a line is left out once");
        let mut carried = 0;
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = index + 1;
            let is_carried = imported.toml.contains(&format!("\"from {path}:{number}\""));
            carried += usize::from(is_carried);
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
        assert_eq!(carried, imported.carried, "{}", imported.toml);
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
