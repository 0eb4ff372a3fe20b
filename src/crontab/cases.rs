//! Crontabs as people have them, and what each of their lines becomes: nothing changes without a word.

use super::tests::{parsed, text_at};
use super::*;

/// A host with root and amy, on which root imports.
fn host() -> Options {
    let account = |home: &str| Account {
        home: home.to_owned(),
        is_there: true,
    };
    Options {
        machine_zone: Some(MachineZone {
            name: "Europe/Paris".to_owned(),
            from: "/etc/localtime".to_owned(),
        }),
        current_user: Some("root".to_owned()),
        accounts: BTreeMap::from([
            ("root".to_owned(), account("/root")),
            ("amy".to_owned(), account("/home/amy")),
        ]),
        ..Options::default()
    }
}

fn imported(path: &str, text: &str) -> Import {
    let import = import(
        &[CrontabFile::read(path, text.as_bytes(), Encoding::Utf8)],
        &host(),
    );
    parsed(&import);
    import
}

/// How many were carried over, and of which lines left out a reason says this.
#[track_caller]
fn assert_became(path: &str, text: &str, carried: usize, left: &[(usize, &str)]) -> Import {
    let import = imported(path, text);
    assert_eq!(import.carried, carried, "{}", import.toml);
    let lines: Vec<usize> = import.left.iter().map(|left| left.line).collect();
    let expected: Vec<usize> = left.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, expected, "{}", import.toml);
    for (found, (_, part)) in import.left.iter().zip(left) {
        assert!(found.reason.contains(part), "{part}: {}", found.reason);
    }
    import
}

#[test]
fn a_word_before_an_absolute_path_is_a_user() {
    let text = "*/5 * * * * ubuntu /usr/bin/python3 /home/ubuntu/a.py > /dev/null\n";
    let import = assert_became("crontab", text, 1, &[]);
    assert_eq!(import.tasks[0].user.as_deref(), Some("ubuntu"));
    assert!(import.toml.contains("There is no user `ubuntu` here"));
    let text = "0 1 * * * deploy /srv/run\n0 2 * * * deploy /srv/other\n";
    let doubt = "`deploy` may be the user or the command";
    let import = assert_became("crontab", text, 0, &[(1, doubt), (2, doubt)]);
    let closing = import.closing.join("\n");
    assert!(
        closing.contains("--form system or --form user"),
        "{closing}"
    );
}

#[test]
fn lines_without_users_are_read_so_whatever_the_path() {
    let daily = "HOME=/var/log\n0\t2\t*\t*\t*\t/etc/daily > /var/log/daily.out 2>&1\n30\t3\t*\t*\t6\t/etc/weekly\n";
    let import = assert_became("k/etc/crontab", daily, 2, &[]);
    assert!(!import.toml.contains("not a user's name"));
    let text =
        "0 */6 * * *  push.sh >> $LOG/push.log 2>&1\n*/10 * \t * * *  poll_feed.sh >> $LOG/p.log\n";
    let import = assert_became("k/etc/crontab", text, 2, &[]);
    assert_eq!(
        import.tasks[0].argv,
        ["/bin/sh", "-c", "push.sh >> $LOG/push.log 2>&1"]
    );
    let text = "0 1 * * * mail /usr/lib/x/rotate\n0 2 * * * git gc\n0 3 * * * backup >> /var/log/b.log 2>&1\n";
    let doubt = "may be the user or the command";
    let import = assert_became("k/etc/crontab", text, 1, &[(1, doubt), (2, doubt)]);
    assert_eq!(import.tasks[0].argv[2], "backup >> /var/log/b.log 2>&1");
}

#[test]
fn a_command_runs_as_whom_where_and_with_what_cron_has_it() {
    let import = imported(
        "x.txt",
        "*/5 * * * * $HOME/check.sh >> $HOME/log\n0 4 * * 0 find $HOME/tmp -delete\n",
    );
    let figment = parsed(&import);
    let at = |key: &str| text_at(&figment, key);
    assert_eq!(at("commands.find.user").as_deref(), Some("root"));
    assert_eq!(
        at("commands.find.environment.HOME").as_deref(),
        Some("/root")
    );
    assert_eq!(
        at("commands.find.working_directory").as_deref(),
        Some("/root")
    );
    assert!(
        import
            .toml
            .contains("they run as `root`. --user gives another")
    );
    let import = imported("/var/spool/cron/crontabs/amy", "30 20 * * * ./a\r\n");
    let task = &import.tasks[0];
    assert_eq!(task.user.as_deref(), Some("amy"));
    assert_eq!(task.directory.as_deref(), Some("/home/amy"));
    assert!(task.notes[0].contains("CR LF"), "{task:?}");
    let import = imported(
        "/etc/crontab",
        "HOME=/var/log\n1 3 * * * root periodic daily\n",
    );
    assert_eq!(import.tasks[0].directory.as_deref(), Some("/var/log"));
    let text = "0 1 * * * find $HOME/tmp\n0 2 * * * cd /srv && ./a\n0 3 * * * ./a\n";
    let unknown = "the home of `zoe`";
    assert_became(
        "/var/spool/cron/zoe",
        text,
        1,
        &[(1, unknown), (3, unknown)],
    );
}

#[test]
fn the_machines_zone_is_written_and_a_zone_that_nobody_knows_counted() {
    let import = imported("x", "@daily /a\n");
    let zone = text_at(&parsed(&import), "time_zone");
    assert_eq!(zone.as_deref(), Some("Europe/Paris"));
    assert!(import.toml.contains("by /etc/localtime"));
    let file = CrontabFile::read("x", b"@daily /a\nCRON_TZ=UTC\n@daily /b\n", Encoding::Utf8);
    let import = import_without_zone(&file);
    let closing = import.closing.join("\n");
    assert!(
        closing.contains("the machine's is not known: 1."),
        "{closing}"
    );
}

fn import_without_zone(file: &CrontabFile) -> Import {
    let options = Options {
        machine_zone: None,
        ..host()
    };
    import(std::slice::from_ref(file), &options)
}

#[test]
fn what_another_program_wrote_is_told() {
    let text =
        "*/10 * * * * * * /app/bin/beat\n0 30 2 * * * /app/bin/nightly\n@every 30s /app/bin/poll\n";
    let left = [(1, "7 time fields"), (2, "6 time fields"), (3, "`@every`")];
    assert_became("crontab", text, 0, &left);
    let timer = "[Unit]\nDescription=Nightly\n\n[Timer]\nOnCalendar=02:30\n";
    let timer_is = "a systemd timer and not a crontab";
    let left = [1, 2, 4, 5].map(|line| (line, timer_is));
    assert_became("backup.timer", timer, 0, &left);
    let dcron = "@daily ID=update /usr/local/bin/update.sh >/dev/null 2>&1\n@weekly ID=old php -f app/old.php\n";
    let import = assert_became("crontab", dcron, 2, &[]);
    assert!(import.toml.contains("the name that dcron keeps"));
}

#[test]
fn a_percent_sign_a_shell_and_two_day_fields_are_told() {
    let text = "25 6\t* * *\troot\tsleep $(( ( RANDOM % 600 ) + 1 ))m && /a\n0 1 * * * root /bin/log +%d\n";
    let import = assert_became("crontab", text, 1, &[(1, "first `%`, in the middle")]);
    assert!(import.tasks[0].notes[0].starts_with("`%`"), "{import:?}");
    let text = "SHELL=/bin/bash -l\n0 8 * * * $ROOT/bin/a && b\n0 9 * * * /c\n";
    let broken = "the SHELL of line 1 has arguments";
    let left = [
        (1, "a SHELL with arguments cannot be started"),
        (2, broken),
        (3, broken),
    ];
    assert_became("crontab", text, 0, &left);
    let text = "0 10 1-7 * * [ \"$(date +\\%u)\" = \"7\" ] && cd /srv/r && ./roll\n0 10 1-7 * 0 cd /srv/r && ./roll\n";
    let import = assert_became("crontab", text, 2, &[]);
    assert!(import.tasks[0].notes.is_empty());
    assert!(import.tasks[1].notes[0].contains("on either"));
}

#[test]
fn a_line_that_is_not_utf_8_is_left_out_or_read_as_is_said() {
    let bytes = b"# apr\xe8s minuit\n5 0 * * * /bin/save \"d\xe9p\xf4t\"\n6 0 * * * /bin/save\n";
    let of = |encoding| import(&[CrontabFile::read("x", bytes, encoding)], &host());
    let plain = of(Encoding::Utf8);
    assert_eq!((plain.carried, plain.left.len()), (1, 1));
    assert!(plain.left[0].reason.contains("not UTF-8"));
    assert!(plain.toml.contains("\\xE9") && !plain.toml.contains('\u{fffd}'));
    let read = of(Encoding::Windows1252);
    assert_eq!((read.carried, read.left.len()), (2, 0));
    assert_eq!(read.tasks[0].argv, ["/bin/save", "dépôt"]);
    assert!(read.tasks[0].notes[0].contains("read as Windows-1252"));
}

#[test]
fn wrong_lines_are_named_one_by_one() {
    let text = "# every line wrong in its own way\n* * * * /usr/bin/four-fields\n*/5 * * * * \n  \n*/15 * * * *\t\n\
                5 4 * * sun,mon-wed /usr/bin/a\n@DAILY /usr/bin/b\n5 4 * JAN-MAR * /usr/bin/c\n*/90 * * * * /usr/bin/d\n\
                0 0 31 2 * /usr/bin/e\n0 0 * * 7-1 /usr/bin/f\n1,,2 * * * * /usr/bin/g\n";
    let left = [
        (2, "the day of week"),
        (3, "the command is missing"),
        (5, "the command is missing"),
        (7, "the macro `@DAILY`"),
        (9, "a step larger than the 60"),
        (10, "never fires"),
        (11, "backwards"),
        (12, "empty member"),
    ];
    let import = assert_became("crontab", text, 2, &left);
    assert!(
        import
            .toml
            .contains("2 entries carried over, 8 lines left out")
    );
}

#[test]
fn comments_describe_and_mailto_owns() {
    let text = "MAILTO=ops@example.org\n# Nightly\n# backup\n0 1 * * * /opt/backup\n0 2 * * * /opt/other >/dev/null\n\
                MAILTO=\"\"\n0 3 * * * /opt/third\n";
    let import = assert_became("crontab", text, 3, &[]);
    let figment = parsed(&import);
    let at = |key: &str| text_at(&figment, key);
    assert_eq!(
        at("tasks.backup.description").as_deref(),
        Some("Nightly backup")
    );
    assert_eq!(
        at("tasks.other.description").as_deref(),
        Some("from crontab:5")
    );
    assert_eq!(at("tasks.backup.owner").as_deref(), Some("ops@example.org"));
    assert_eq!(at("tasks.third.owner"), None);
    assert!(import.tasks[1].notes[0].contains("/dev/null"));
}

#[test]
fn the_last_lines_say_what_to_take_out_of_cron() {
    let files = [
        CrontabFile::read(
            "/etc/cron.d/x",
            b"A=b\n@daily root /a\n@hourly root /b\n",
            Encoding::Utf8,
        ),
        CrontabFile::read(
            "/var/spool/cron/crontabs/amy",
            b"@daily /c\n@reboot /d\n",
            Encoding::Utf8,
        ),
    ];
    let import = import(&files, &host());
    let last: Vec<&str> = import.toml.lines().rev().take(3).collect();
    assert_eq!(
        last,
        [
            "#   crontab -u amy -e (/var/spool/cron/crontabs/amy): line 1",
            "#   edit /etc/cron.d/x: lines 2-3",
            "# Take these out of cron before the server has them, or they run twice:",
        ]
    );
}

#[test]
fn what_stands_in_a_system_crontab_of_a_bsd_or_of_an_image_is_told() {
    let text = "SHELL=/bin/sh\n*/5\t*\t*\t*\t*\troot\t/usr/libexec/atrun\n\
                */11\t*\t*\t*\t*\toperator /usr/libexec/save-entropy\n0 1 * * * /usr/bin/no-user\n";
    let import = assert_became(
        "freebsd",
        text,
        2,
        &[(4, "`/usr/bin/no-user` is not a user's name")],
    );
    assert_eq!(import.tasks[1].user.as_deref(), Some("operator"));
    let text = "0 1 * * * node /app/run.js\n0 2 * * * root /app/other\n";
    let left = [(1, "`node` may be the user or the command")];
    assert_became("/etc/cron.d/app", text, 1, &left);
    let text = "H/15 * * * * /a\n0 1 * * * /b --x \\\n  --y\n";
    let import = assert_became("crontab", text, 2, &[(3, "the hour is missing")]);
    assert!(import.tasks[0].notes[0].contains("no part of cron's own lines"));
    assert!(import.tasks[1].notes[0].contains("ends with a backslash"));
}

#[test]
fn what_is_no_text_is_told_so() {
    let utf_16: Vec<u8> = "0 1 * * * /a\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let import = import(&[CrontabFile::read("x", &utf_16, Encoding::Utf8)], &host());
    parsed(&import);
    assert_eq!(import.carried, 0);
    assert!(!import.left.is_empty());
    assert!(
        import
            .left
            .iter()
            .all(|left| left.reason.contains("UTF-16"))
    );
    let marked = "\u{feff}0 1 * * * /a\n";
    assert!(imported("x", marked).toml.contains("byte order mark"));
}

#[test]
fn ten_thousand_lines_are_read_soon() {
    let mut text = String::new();
    for number in 0..5_000 {
        text += &format!(
            "# comment {number}\n{} 2 * * * root cd /srv && ./a{number} > /dev/null\n",
            number % 60
        );
    }
    let watch = crate::clock::Stopwatch::start();
    let import = imported("/etc/crontab", &text);
    assert_eq!(import.carried, 5_000);
    let took = watch.elapsed();
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
}
