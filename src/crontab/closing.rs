//! The last lines of an import: what to take out of cron now, and which flag settles what was left out.

use std::fmt::Write as _;

use super::form;

/// Spans of lines that are named of one file.
const SPANS: usize = 12;

/// What holds for each task, and not below cron. How long an attempt may take is written with each.
const UNLIKE_CRON: [&str; 4] = [
    "  one run at a time, a slot that comes meanwhile is skipped: overlap;",
    "  what is missed while no server runs, runs once afterwards: catch_up;",
    "  an attempt is ended after 7 days: attempt_timeout;",
    "  what is printed is in the log of the run, and no mail is sent.",
];

/// The lines of one file that became tasks.
#[derive(Debug)]
pub(super) struct FileDone {
    pub(super) path: String,
    pub(super) has_user: bool,
    /// Whose crontab it is, where it has no user column.
    pub(super) owner: Option<String>,
    pub(super) carried: Vec<usize>,
}

/// What runs otherwise of so many entries; nothing where nothing was carried over.
pub(super) fn unlike_cron(carried: usize) -> Vec<String> {
    if carried == 0 {
        return Vec::new();
    }
    let head = format!("Entries that run unlike below cron in this: {carried}.");
    let told = UNLIKE_CRON.map(str::to_owned);
    std::iter::once(head).chain(told).collect()
}

/// What to take out of cron; nothing where nothing was carried over.
pub(super) fn take_out(files: &[FileDone]) -> Vec<String> {
    let mut lines = Vec::new();
    for file in files.iter().filter(|file| !file.carried.is_empty()) {
        let path = shown(&file.path);
        let place = match (&file.owner, file.path.as_str()) {
            _ if file.has_user || form::is_system(&file.path) => format!("edit {path}"),
            (Some(owner), "-") => format!("crontab -u {owner} -e"),
            (Some(owner), _) if form::owner(&file.path).is_some() => {
                format!("crontab -u {owner} -e ({path})")
            }
            (Some(owner), _) => format!("{path}, or crontab -u {owner} -e"),
            (None, "-") => "crontab -e".to_owned(),
            (None, _) => format!("{path}, or crontab -e"),
        };
        lines.push(format!("  {place}: {}", spans(&file.carried)));
    }
    if !lines.is_empty() {
        lines.insert(
            0,
            "Take these out of cron before the server has them, or they run twice:".to_owned(),
        );
    }
    lines
}

/// "line 3", or "lines 1-4, 7"; the numbers rise.
fn spans(lines: &[usize]) -> String {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for line in lines {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == *line => *last = *line,
            _ => spans.push((*line, *line)),
        }
    }
    let mut text = match lines {
        [_] => "line ".to_owned(),
        _ => "lines ".to_owned(),
    };
    for (index, (first, last)) in spans.iter().take(SPANS).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = match first == last {
            true => write!(text, "{comma}{first}"),
            false => write!(text, "{comma}{first}-{last}"),
        };
    }
    if SPANS < spans.len() {
        let _ = write!(text, " and on, {} in all", lines.len());
    }
    text
}

fn shown(path: &str) -> String {
    super::toml::visible(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, has_user: bool, owner: Option<&str>, carried: &[usize]) -> String {
        let file = FileDone {
            path: path.to_owned(),
            has_user,
            owner: owner.map(str::to_owned),
            carried: carried.to_vec(),
        };
        take_out(&[file]).join("\n")
    }

    #[test]
    fn what_to_take_out_is_named_with_the_way_to_do_it() {
        for (path, has_user, owner, way) in [
            ("/etc/cron.d/x", true, None, "  edit /etc/cron.d/x: line 4"),
            (
                "/var/spool/cron/crontabs/amy",
                false,
                Some("amy"),
                "  crontab -u amy -e (/var/spool/cron/crontabs/amy): line 4",
            ),
            (
                "x.txt",
                false,
                Some("root"),
                "  x.txt, or crontab -u root -e: line 4",
            ),
            ("-", false, Some("root"), "  crontab -u root -e: line 4"),
            ("-", false, None, "  crontab -e: line 4"),
        ] {
            let told = told(path, has_user, owner, &[4]);
            assert!(told.ends_with(way), "{told}");
            assert!(told.starts_with("Take these out of cron"), "{told}");
        }
        assert_eq!(told("x", true, None, &[]), "");
    }

    #[test]
    fn lines_are_told_in_spans_and_not_without_end() {
        assert_eq!(spans(&[1, 2, 3, 7]), "lines 1-3, 7");
        let odd: Vec<usize> = (0..100).map(|number| 2 * number + 1).collect();
        let told = spans(&odd);
        assert!(told.ends_with("23 and on, 100 in all"), "{told}");
    }
}
