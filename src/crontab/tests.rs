//! The import as a whole: places, comments, several files, and text that means harm.

use std::time::Duration;

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Value;
use proptest::prelude::*;

use super::line::{Line, classify};
use super::*;
use crate::clock::Stopwatch;

/// Imports one file of the given form.
fn import_text(path: &str, text: &str, form: Form) -> Import {
    let file = CrontabFile {
        path: path.into(),
        text: text.into(),
        ..CrontabFile::default()
    };
    let options = Options {
        form,
        ..Options::default()
    };
    import(&[file], &options)
}

fn user(text: &str) -> Import {
    import_text("mine", text, Form::User)
}

/// Parses the configuration and proves that it is one.
pub(super) fn parsed(import: &Import) -> Figment {
    let figment = Figment::from(Toml::string(&import.toml));
    if let Err(error) = figment.extract::<Value>() {
        panic!("{error}\n{}", import.toml);
    }
    figment
}

pub(super) fn text_at(figment: &Figment, key: &str) -> Option<String> {
    figment.extract_inner(key).ok()
}

fn argv_of(figment: &Figment, name: &str) -> Vec<String> {
    figment
        .extract_inner(&format!("commands.{name}.argv"))
        .unwrap()
}

#[test]
fn an_entry_becomes_a_command_and_a_task() {
    let import = user("30 2 * * mon-fri /opt/backup.sh 'a \"b\"'%hi%you\n");
    assert_eq!((import.carried, import.left.len()), (1, 0));
    let figment = parsed(&import);
    assert_eq!(argv_of(&figment, "backup"), ["/opt/backup.sh", "a \"b\""]);
    let at = |key: &str| text_at(&figment, key);
    assert_eq!(at("commands.backup.stdin").as_deref(), Some("hi\nyou\n"));
    assert_eq!(at("commands.backup.user"), None);
    assert_eq!(at("tasks.backup.kind").as_deref(), Some("command"));
    assert_eq!(
        at("tasks.backup.description").as_deref(),
        Some("from mine:1")
    );
    assert_eq!(
        at("tasks.backup.parameters.command").as_deref(),
        Some("backup")
    );
    assert_eq!(
        at("tasks.backup.schedule.cron").as_deref(),
        Some("30 2 * * mon-fri")
    );
    assert_eq!(at("tasks.backup.schedule.time_zone"), None);
    assert_eq!(at("time_zone"), None);
}

#[test]
fn settings_hold_for_the_entries_below_them() {
    let import = user(
        "@daily /a\nSHELL=/bin/bash\nX = ' y '\nCRON_TZ=Asia/Tokyo\n@hourly b | c\nX=z\nCRON_TZ=\"\"\n@weekly /d\n",
    );
    let figment = parsed(&import);
    let at = |key: &str| text_at(&figment, key);
    assert_eq!(at("commands.a.environment.X"), None);
    assert_eq!(argv_of(&figment, "b"), ["/bin/bash", "-c", "b | c"]);
    assert_eq!(at("commands.b.environment.X").as_deref(), Some(" y "));
    assert_eq!(at("commands.a.environment.SHELL"), None);
    assert_eq!(
        at("commands.b.environment.SHELL").as_deref(),
        Some("/bin/bash")
    );
    assert_eq!(
        at("commands.a.environment.PATH").as_deref(),
        Some("/usr/bin:/bin"),
        "as cron sets it"
    );
    assert_eq!(
        at("tasks.b.schedule.time_zone").as_deref(),
        Some("Asia/Tokyo")
    );
    assert_eq!(at("commands.d.environment.X").as_deref(), Some("z"));
    assert_eq!(at("tasks.d.schedule.time_zone"), None);
}

#[test]
fn what_is_left_out_stands_at_its_place_with_its_reason() {
    let import = user("MAILFROM=joe\n@reboot /a\n61 * * * * /b\n* * *\n@daily /c\n");
    let lines: Vec<usize> = import.left.iter().map(|left| left.line).collect();
    assert_eq!((import.carried, lines), (1, vec![1, 2, 3, 4]));
    assert_eq!(import.left[1].text, "@reboot /a");
    for part in [
        "# left out, line 2: @reboot /a\n#   because @reboot is not a time",
        "# left out, line 3: 61 * * * * /b\n#   because the minute `61` is impossible",
        "# 1 entry carried over, 4 lines left out.\n",
    ] {
        assert!(import.toml.contains(part), "{part}\n{}", import.toml);
    }
}

#[test]
fn that_no_mail_was_wanted_is_noted_once() {
    let import = user("MAILTO=\"\"\n@daily /a\nMAILTO=''\n@daily /b\n");
    assert_eq!(import.toml.matches("no mail was wanted").count(), 1);
    assert_eq!((import.carried, import.left.len()), (2, 0));
}

#[test]
fn entries_under_a_zone_that_is_unknown_are_left_out() {
    let import = user("CRON_TZ=CET-1CEST\n@daily /a\nCRON_TZ=UTC\n@daily /b\n");
    assert_eq!((import.carried, import.left.len()), (1, 2));
    assert_eq!(
        import.left[1].reason,
        "the time zone of line 1 could not be carried over"
    );
}

#[test]
fn entries_under_a_shell_that_cannot_be_started_are_left_out() {
    let import = user(
        "SHELL=bash\n@daily cd /tmp && a\n@daily /b c\nSHELL=/bin/bash\n@daily cd /tmp && d\n",
    );
    let lines: Vec<usize> = import.left.iter().map(|left| left.line).collect();
    assert_eq!((import.carried, lines), (2, vec![2]));
    assert!(import.toml.contains("with which cron can start nothing"));
    let reason = &import.left[0].reason;
    assert!(reason.contains("SHELL is `bash`"), "{reason}");
    let figment = parsed(&import);
    assert_eq!(argv_of(&figment, "b"), ["/b", "c"]);
}

#[test]
fn many_entries_of_one_name_are_named_soon() {
    let text = "@daily /a\n".repeat(20_000);
    let watch = Stopwatch::start();
    let import = user(&text);
    assert_eq!(import.carried, 20_000);
    assert!(import.toml.contains("[tasks.a-20000]"));
    assert!(
        watch.elapsed() < Duration::from_secs(20),
        "{:?}",
        watch.elapsed()
    );
}

#[test]
fn another_user_is_kept_and_needs_a_server_that_runs_as_root() {
    let text = "* * * * * bob /a\n";
    let note = "To run this as bob the server must run as root.";
    for (current_user, noted) in [
        (None, true),
        (Some("amy"), true),
        (Some("bob"), false),
        (Some("root"), false),
    ] {
        let file = CrontabFile {
            path: "/etc/crontab".into(),
            text: text.into(),
            ..CrontabFile::default()
        };
        let options = Options {
            current_user: current_user.map(str::to_owned),
            ..Options::default()
        };
        let import = import(&[file], &options);
        assert_eq!(import.toml.contains(note), noted, "{current_user:?}");
        assert_eq!(
            text_at(&parsed(&import), "commands.a.user").as_deref(),
            Some("bob")
        );
    }
}

#[test]
fn the_zone_of_the_options_heads_the_file_and_names_are_unique_across_files() {
    let file = |path: &str| CrontabFile {
        path: path.into(),
        text: "@daily /a\n".into(),
        ..CrontabFile::default()
    };
    let options = Options {
        time_zone: Some("Europe/Paris".into()),
        ..Options::default()
    };
    let import = import(&[file("x"), file("y")], &options);
    let figment = parsed(&import);
    assert_eq!(
        text_at(&figment, "time_zone").as_deref(),
        Some("Europe/Paris")
    );
    assert_eq!(
        text_at(&figment, "tasks.a.description").as_deref(),
        Some("from x:1")
    );
    assert_eq!(
        text_at(&figment, "tasks.a-2.description").as_deref(),
        Some("from y:1")
    );
}

#[test]
fn the_output_tells_what_a_reader_should_check() {
    for (path, text, part) in [
        ("x", "@daily /a b", "The last line has no line end"),
        ("x", "@daily /a\r\n", "CR LF"),
        ("x", "@daily /a &\n", "goes on in the background"),
        ("x", "@daily a\n", "Started by a shell"),
        (
            "x",
            "@daily root /a\n",
            "Read with a user column, because in line 1 `root` is a user's name",
        ),
        (
            "x",
            "@daily /a\n",
            "Read without a user column, because in line 1 `/a` is no user",
        ),
        (
            "/etc/cron.d/a.bak",
            "@daily root /a\n",
            "passes over files of cron.d",
        ),
        (
            "/var/spool/cron/crontabs/bob",
            "@daily /a\n",
            "cron ran these as bob",
        ),
        ("/etc/anacrontab", "1 5 cron.daily /a\n", "it is anacron's"),
    ] {
        let import = import_text(path, text, Form::Auto);
        parsed(&import);
        assert!(import.toml.contains(part), "{part}\n{}", import.toml);
    }
}

#[test]
fn no_text_breaks_out_of_its_comment_or_string() {
    let evil = "0 0 * * * /a\u{b}\u{85}\r[commands.evil]\u{2028}\"\"\"\n";
    let import = import_text("p\n[commands.evil]\n#", evil, Form::User);
    let figment = parsed(&import);
    assert!(figment.find_value("commands.evil").is_err());
    assert_eq!(import.carried, 1);
    let left = user("0 0 x\n@reboot\u{1b}[31m /a\n");
    assert!(!left.toml.contains('\u{1b}'));
    assert!(!left.left[1].reason.contains('\u{1b}'));
}

/// Lines that are nearly right reach further than noise does.
fn crontab_line() -> impl Strategy<Value = String> {
    let noise = any::<String>();
    let nearly = "(-|@[a-z]{0,7} |[ \t]{0,2})([0-9*,/~a-zLW#?H-]{1,5}[ \t]){0,6}[ -~\r\t\u{80}-\u{2030}]{0,40}";
    let setting = "(SHELL|MAILTO|CRON_TZ|TZ|PATH|RANDOM_DELAY|[A-Z ]{0,4})[ ]?=[ ]?[ -~]{0,20}";
    let command = "(\\* ){5}(root )?/[ -~]{0,40}";
    prop_oneof![noise, nearly, setting, command]
}

fn is_entry(line: &str) -> bool {
    matches!(classify(line), Line::Entry(_))
}

proptest! {
    #[test]
    fn any_text_gives_a_configuration_and_every_line_is_accounted_for(
        path in any::<String>(),
        lines in prop::collection::vec(crontab_line(), 0..12),
        zone in prop::option::of(any::<String>()),
        form in prop::sample::select(vec![Form::Auto, Form::User, Form::System]),
    ) {
        let file = CrontabFile { path, text: lines.join("\n"), ..CrontabFile::default() };
        let options = Options { form, time_zone: zone.clone(), ..Options::default() };
        let import = import(&[file.clone(), file], &options);
        let figment = parsed(&import);
        prop_assert_eq!(text_at(&figment, "time_zone"), zone);
        for table in ["commands", "tasks"] {
            let entries = figment.find_value(table).ok();
            let count = entries.and_then(Value::into_dict).map_or(0, |dict| dict.len());
            prop_assert_eq!(count, import.carried);
        }
        let entries = lines.join("\n").lines().filter(|line| is_entry(line)).count();
        let left_entries = import.left.iter().filter(|left| is_entry(&left.text)).count();
        prop_assert_eq!(2 * entries, import.carried + left_entries);
        for left in &import.left {
            prop_assert!(!left.reason.contains(char::is_control));
        }
    }
}
