//! Shows each line beside what will run: as whom, where, and when next. Readable at 80 columns.

use jiff::Timestamp;

use super::toml::visible;
use super::{Carried, Import, Left, Options, head};
use crate::domain::schedule::{Schedule, ScheduleSpec, preview};

const WIDTH: usize = 80;
/// Columns of "  runs   ".
const LABEL: usize = 9;
/// Characters of an entry that are shown.
const SHOWN: usize = 1000;

/// All lines that say something to cron, in their order, as text.
pub fn explain(import: &Import, options: &Options, now: Timestamp) -> String {
    let mut out = String::new();
    let zone = head::zone(options);
    match zone {
        Some(zone) => out += &format!("Times are of {zone} where a line says nothing else.\n"),
        None => {
            out +=
                "Times are UTC where a line says nothing else, as no zone is known: --time-zone\n";
        }
    }
    let tasks = import.tasks.iter().map(Shown::Task);
    let mut all: Vec<Shown<'_>> = tasks.chain(import.left.iter().map(Shown::Left)).collect();
    all.sort_by_key(Shown::place);
    let mut file = None;
    for shown in all {
        let (number, path) = shown.file();
        if file != Some(number) {
            file = Some(number);
            out += &format!("\n==== {}\n", visible(path));
        }
        match shown {
            Shown::Task(task) => push_task(&mut out, task, zone.unwrap_or("UTC"), now),
            Shown::Left(left) => {
                push_head(&mut out, left.line, &left.text);
                push(&mut out, "NOT", &format!("left out: {}", left.reason));
            }
        }
    }
    out.push('\n');
    for line in import.closing.iter().chain(&import.take_out) {
        for part in wrapped(&visible(line), WIDTH) {
            out += &format!("{part}\n");
        }
    }
    out
}

enum Shown<'a> {
    Task(&'a Carried),
    Left(&'a Left),
}

impl Shown<'_> {
    fn place(&self) -> (usize, usize) {
        match self {
            Self::Task(task) => (task.file, task.line),
            Self::Left(left) => (left.file, left.line),
        }
    }

    fn file(&self) -> (usize, &str) {
        match self {
            Self::Task(task) => (task.file, task.path.as_str()),
            Self::Left(left) => (left.file, left.path.as_str()),
        }
    }
}

fn push_head(out: &mut String, line: usize, text: &str) {
    let text: String = text.trim().chars().take(SHOWN).collect();
    out.push('\n');
    for part in wrapped(
        &format!("{line}: {}", visible(&text)).replace('\t', " "),
        WIDTH,
    ) {
        *out += &format!("{part}\n");
    }
}

fn push_task(out: &mut String, task: &Carried, zone: &str, now: Timestamp) {
    push_head(out, task.line, &task.text);
    push(out, "task", &task.name);
    let words: Vec<String> = task.argv.iter().map(|word| shown(word)).collect();
    push(out, "runs", &words.join(" "));
    if let Some(stdin) = &task.stdin {
        push(out, "reads", &shown(stdin));
    }
    push(
        out,
        "as",
        task.user.as_deref().unwrap_or("the server's user"),
    );
    push(
        out,
        "in",
        task.directory
            .as_deref()
            .unwrap_or("the server's directory"),
    );
    let zone = task.time_zone.as_deref().unwrap_or(zone);
    push(out, "when", &format!("{} ({zone})", task.cron));
    push(out, "next", &next(task, zone, now));
    for note in &task.notes {
        push(out, "note", note);
    }
}

fn next(task: &Carried, zone: &str, now: Timestamp) -> String {
    let spec = ScheduleSpec {
        cron: Some(task.cron.clone()),
        ..ScheduleSpec::default()
    };
    let Ok(schedule) = Schedule::parse(&spec, &task.name, zone) else {
        return format!("not known: there is no zone {zone}");
    };
    let fires = preview(&schedule, now, None, 1);
    fires
        .into_iter()
        .next()
        .map_or_else(|| "never".to_owned(), |fire| fire.local)
}

/// A word as a shell would be given it.
fn shown(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:,@+=%".contains(c);
    let cut: String = word.chars().take(SHOWN).collect();
    match !cut.is_empty() && cut.chars().all(is_plain) {
        true => cut,
        false => format!("'{}'", visible(&cut).replace('\'', "'\\''")),
    }
}

fn push(out: &mut String, label: &str, text: &str) {
    let mut label = format!("  {label}");
    for part in wrapped(&visible(text).replace('\t', " "), WIDTH - LABEL) {
        *out += &format!("{label:<LABEL$}{part}\n");
        label.clear();
    }
}

/// The text in lines of so many columns, at blanks where it has some.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut width) = (String::new(), 0);
    // Where the line can end: bytes, and the columns behind it.
    let mut blank: Option<(usize, usize)> = None;
    for c in text.chars() {
        let wide = if ('\u{1100}'..='\u{ffdc}').contains(&c) || '\u{1f000}' <= c {
            2
        } else {
            1
        };
        if columns < width + wide {
            let rest = match blank.take() {
                Some((at, before)) => {
                    let rest = line.split_off(at).trim_start().to_owned();
                    width -= before;
                    rest
                }
                None => {
                    width = 0;
                    String::new()
                }
            };
            lines.push(std::mem::replace(&mut line, rest));
        }
        if c == ' ' && !line.is_empty() {
            blank = Some((line.len(), width + 1));
        }
        line.push(c);
        width += wide;
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::{CrontabFile, Form, import};
    use super::*;

    #[test]
    fn each_line_stands_beside_what_will_run() {
        let file = |path: &str, text: &str| CrontabFile {
            path: path.into(),
            text: text.into(),
            ..CrontabFile::default()
        };
        let files = [
            file("b", "@reboot /x\n30 2 * * * /opt/a 'b c'\n"),
            file(
                "a",
                "CRON_TZ=Asia/Tokyo\n0 0 * * * long && echo \"one two three four five six seven eight nine ten eleven\"\n",
            ),
        ];
        let options = Options {
            form: Form::User,
            time_zone: Some("Europe/Paris".into()),
            user: Some("amy".into()),
            ..Options::default()
        };
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        let told = explain(&import(&files, &options), &options, now);
        for part in [
            "==== b\n\n1: @reboot /x\n  NOT    left out: @reboot is not a time",
            "2: 30 2 * * * /opt/a 'b c'\n  task   a\n  runs   /opt/a 'b c'\n  as     amy\n",
            "  when   30 2 * * * (Europe/Paris)\n  next   2026-03-03T02:30:00+01:00[Europe/Paris]\n",
            "==== a\n",
            "  next   2026-03-03T00:00:00+09:00[Asia/Tokyo]\n",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        let widest = told.lines().map(|line| line.chars().count()).max();
        assert!(widest.unwrap() <= WIDTH, "{told}");
    }

    #[test]
    fn a_long_text_is_cut_at_blanks_and_where_there_are_none() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
    }
}
