//! Takes an entry apart: when, as whom, what.

use super::Reason;
use super::field;
use super::line::word;
use super::toml::quoted;

/// One entry of a crontab.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Five fields or a macro, as Watchbell writes them.
    pub(super) cron: String,
    /// From the user column, if the file has one.
    pub(super) user: Option<&'a str>,
    /// The command as cron stores it, `%` and all.
    pub(super) command: &'a str,
    /// What a reader should know.
    pub(super) notes: Vec<String>,
}

/// Parses an entry that [`super::line::classify`] found.
pub(super) fn parse(text: &str, has_user: bool) -> Result<Entry<'_>, Reason> {
    if text.contains('\0') {
        return Err("the line contains a NUL character".into());
    }
    let count = time_words(text);
    if 5 < count {
        return Err(format!(
            "it has {count} time fields, and cron has 5: the seconds or years of other programs have no \
             place in a crontab"
        ));
    }
    let mut notes = Vec::new();
    let text = match text.strip_prefix('-') {
        Some(rest) => {
            notes.push("the leading `-` kept cron's own log quiet; it means nothing here".into());
            rest
        }
        None => text,
    };
    let (cron, rest) = if text.starts_with('@') {
        let (name, rest) = word(text);
        (macro_named(name)?.to_owned(), rest)
    } else {
        let (fields, rest) = five_fields(text)?;
        let fields = field::check(fields)?;
        notes.extend(fields.notes);
        (fields.cron, rest)
    };
    let (user, command) = if has_user {
        user_column(rest)?
    } else {
        (None, rest)
    };
    check_command(command)?;
    Ok(Entry {
        cron,
        user,
        command,
        notes,
    })
}

/// What follows the time fields, without judging them: for the guess at a file's form.
pub(super) fn after_time(text: &str) -> &str {
    let text = text.strip_prefix('-').unwrap_or(text);
    let fields = if text.starts_with('@') { 1 } else { 5 };
    (0..fields).fold(text, |rest, _| word(rest).1)
}

/// How many words at the line's start can be time fields: more than five are another program's.
pub(super) fn time_words(text: &str) -> usize {
    if text.trim_start_matches('-').starts_with('@') {
        return 1;
    }
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let mut count = 0;
    loop {
        let (first, after) = word(rest);
        // The first five are judged one by one, with what is wrong with each.
        let is_time = !first.is_empty() && (count < 5 || is_time_word(first));
        if !is_time {
            return count;
        }
        count += 1;
        rest = after;
    }
}

/// A word that is no command, and may be a time field.
fn is_time_word(word: &str) -> bool {
    let is_number = word.contains(|c: char| c.is_ascii_digit() || c == '*' || c == '?')
        && word
            .chars()
            .all(|c| c.is_ascii_digit() || "*/,-?L#W".contains(c))
        && !word.starts_with(['/', '-']);
    let is_day = |part: &str| {
        let days = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
        days.iter().any(|day| part.eq_ignore_ascii_case(day))
    };
    let is_list = word.split([',', '-']).all(is_day);
    is_number || is_list && (word.contains([',', '-']) || word.chars().all(char::is_uppercase))
}

/// Whether it is a macro's name, `@reboot` included.
pub(super) fn is_macro(name: &str) -> bool {
    name == "@reboot" || macro_named(name).is_ok()
}

/// Whether a command cannot begin so: it is what follows one.
pub(super) fn is_middle(text: &str) -> bool {
    let behind_number = text.trim_start_matches(|c: char| c.is_ascii_digit());
    text.starts_with(['>', '<', '|', '&', ';', ')'])
        || behind_number.len() < text.len() && behind_number.starts_with(['>', '<'])
}

/// Whether `name` can be a user's, by the rules of Debian's useradd and a little more.
pub fn is_user_name(name: &str) -> bool {
    let stem = name.strip_suffix('$').unwrap_or(name);
    stem.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.len() <= 32
        && stem
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

fn five_fields(text: &str) -> Result<([&str; 5], &str), Reason> {
    let mut fields = [""; 5];
    let mut rest = text;
    for (index, field) in fields.iter_mut().enumerate() {
        (*field, rest) = word(rest);
        if field.is_empty() {
            return Err(format!(
                "too few fields: the {} is missing",
                field::name(index)
            ));
        }
    }
    Ok((fields, rest))
}

/// The macro under the name Watchbell gives it.
fn macro_named(name: &str) -> Result<&'static str, Reason> {
    match name {
        "@yearly" | "@annually" => Ok("@yearly"),
        "@monthly" => Ok("@monthly"),
        "@weekly" => Ok("@weekly"),
        "@daily" | "@midnight" => Ok("@daily"),
        "@hourly" => Ok("@hourly"),
        "@reboot" => Err(
            "@reboot is not a time: Watchbell runs tasks at times, not when a machine starts; a \
             systemd unit does this"
                .into(),
        ),
        "@every" => Err(
            "the macro `@every` is of other programs, and cron does not know it: a task with \
             schedule = { every = \"30s\" } does this"
                .into(),
        ),
        other => Err(format!("the macro {} is unknown", quoted(other))),
    }
}

fn user_column(rest: &str) -> Result<(Option<&str>, &str), Reason> {
    let (user, command) = word(rest);
    if user.is_empty() {
        return Err("too few fields: the user is missing".into());
    }
    if !is_user_name(user) {
        return Err(format!("the user {} is not a user's name", quoted(user)));
    }
    if is_middle(command) {
        return Err(format!(
            "{} is followed by a redirection alone, so it is the command, and the user before it is missing",
            quoted(user)
        ));
    }
    Ok((Some(user), command))
}

fn check_command(command: &str) -> Result<(), Reason> {
    let (first, _) = word(command);
    if first.is_empty() || first.starts_with('%') {
        return Err("too few fields: the command is missing".into());
    }
    // OpenBSD and FreeBSD put -n, -q and -s before the command; no program has such a name.
    if first.starts_with('-') {
        return Err(format!(
            "the command begins with {}, a flag of the BSDs' cron that has no counterpart",
            quoted(first)
        ));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_fields_user_and_command() {
        let entry = parse("09,39 *\t* * *  root   /bin/a  b", true).unwrap();
        assert_eq!(entry.cron, "09,39 * * * *");
        assert_eq!(entry.user, Some("root"));
        assert_eq!(entry.command, "/bin/a  b");
        let entry = parse("@midnight root /bin/a", false).unwrap();
        assert_eq!(
            (entry.cron.as_str(), entry.user, entry.command),
            ("@daily", None, "root /bin/a")
        );
    }

    #[test]
    fn a_leading_dash_is_taken_off_and_noted() {
        let entry = parse("-*/5 * * * * root /bin/a", true).unwrap();
        assert_eq!(entry.cron, "*/5 * * * *");
        assert_eq!(entry.notes.len(), 1);
    }

    #[test]
    fn a_wrong_line_names_the_field() {
        for (text, part) in [
            ("* * *", "the month is missing"),
            ("nonsense", "the hour is missing"),
            ("* * * * *", "the user is missing"),
            ("* * * * * root", "the command is missing"),
            ("* * * * * root %x", "the command is missing"),
            ("* * * * * /bin/a b", "the user `/bin/a`"),
            ("* * * * * root:wheel b", "the user `root:wheel`"),
            ("@reboot root x", "@reboot is not a time"),
            ("@every_minute root x", "the macro `@every_minute`"),
            ("* * * * * root -q x", "flag"),
            ("* * * * * root \0", "NUL"),
            ("*/10 * * * * * * /app/bin/beat", "7 time fields"),
            ("0 30 2 * * * root /app/bin/nightly", "6 time fields"),
            ("0 0 12 ? * MON-FRI root /a", "6 time fields"),
            ("@every 30s /a", "every = \"30s\""),
            (
                "* * * * * push.sh >> $LOG/x",
                "the user before it is missing",
            ),
            ("* * * * * backup 2> x", "the user before it is missing"),
        ] {
            let reason = parse(text, true).unwrap_err();
            assert!(reason.contains(part), "{text:?}: {reason}");
        }
    }

    #[test]
    fn a_command_is_no_time_field() {
        for text in [
            "* * * * * /bin/a",
            "* * * * * 7z a",
            "* * * * * mon --check",
            "* * * * * L",
            "0 2 * * 1-5 root /a",
            "@daily 5 5 5 5 5 5",
        ] {
            assert!(time_words(text) <= 5, "{text}");
        }
    }

    #[test]
    fn user_names_are_known_by_their_shape() {
        for name in ["root", "www-data", "Debian-exim", "_apt", "a.b", "pc$"] {
            assert!(is_user_name(name), "{name}");
        }
        for name in ["", "1a", "-x", "a/b", "a:b", "$", "é", "[", &"a".repeat(33)] {
            assert!(!is_user_name(name), "{name}");
        }
    }
}
