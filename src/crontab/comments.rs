//! Makes the comments directly above an entry its description.

use super::line::{BLANK, Line, classify, word};
use super::{entry, field};

/// Characters of a description.
const LONGEST: usize = 200;
/// Comments of one block that are kept; the nearest count.
const KEPT: usize = 20;

/// The comments above the line that is read next.
#[derive(Debug, Default)]
pub(super) struct Comments<'a> {
    lines: Vec<&'a str>,
}

impl<'a> Comments<'a> {
    /// Takes note of a line that is no entry.
    pub(super) fn pass(&mut self, line: &'a str, is_readable: bool) {
        let text = line.trim_matches(BLANK);
        if !text.starts_with('#') {
            self.lines.clear();
            return;
        }
        if is_readable {
            if self.lines.len() == KEPT {
                self.lines.remove(0);
            }
            self.lines.push(text);
        }
    }

    /// The description of an entry that stands here, if the comments say one. They are no other entry's.
    pub(super) fn take(&mut self) -> Option<String> {
        let lines = std::mem::take(&mut self.lines);
        let mut paragraph: Vec<String> = Vec::new();
        for line in lines.into_iter().rev() {
            let text = line.trim_start_matches('#').trim();
            if is_switched_off(text) {
                // What stands above it is that line's.
                break;
            }
            if !text.contains(char::is_alphabetic) || names_fields(text) {
                // A rule, or an empty one: what stands above it is of something larger.
                match paragraph.is_empty() {
                    true => continue,
                    false => break,
                }
            }
            let words: Vec<&str> = text
                .split(|c: char| c.is_whitespace() || c.is_control())
                .filter(|word| !word.is_empty())
                .collect();
            paragraph.push(words.join(" "));
        }
        paragraph.reverse();
        let text = paragraph.join(" ");
        if LONGEST < text.chars().count() {
            let start: String = text.chars().take(LONGEST - 1).collect();
            return Some(format!("{}…", start.trim_end()));
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Whether it is an entry, or a setting, that somebody has commented out.
fn is_switched_off(text: &str) -> bool {
    match classify(text) {
        Line::Setting { .. } => true,
        Line::Entry(text) if text.starts_with('@') => entry::is_macro(word(text).0),
        Line::Entry(text) => {
            let mut rest = text;
            let mut fields = [""; 5];
            for field in &mut fields {
                (*field, rest) = word(rest);
            }
            !rest.is_empty() && field::check(fields).is_ok()
        }
        Line::Blank | Line::WrongSetting(_) => false,
    }
}

/// Whether it heads the columns: "m h dom mon dow command", "minute hour mday month wday".
fn names_fields(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    let are_named = has("mon") && (has("dow") || has("min") && has("hour"));
    are_named
        || lower.starts_with("m h ")
        || ["(0 -", "(1 -", "0-59", "0-23", "1-31", "1-12"]
            .iter()
            .any(|bounds| has(bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Option<String> {
        let mut comments = Comments::default();
        for line in lines {
            comments.pass(line, true);
        }
        comments.take()
    }

    #[test]
    fn the_comments_directly_above_are_the_description() {
        assert_eq!(
            of(&["# Nightly", "#  backup\tof all"]).as_deref(),
            Some("Nightly backup of all")
        );
        assert_eq!(
            of(&["# other", "", "## mine ##"]).as_deref(),
            Some("mine ##")
        );
        assert_eq!(of(&["# other", "A=b"]), None);
        assert_eq!(of(&["# m h dom mon dow command"]), None);
        assert_eq!(of(&["#minute\thour\tmday\tmonth\twday\tcommand"]), None);
        assert_eq!(of(&["# --------", "# * * *"]), None);
    }

    #[test]
    fn a_line_that_is_switched_off_keeps_its_own_comment() {
        let lines = ["# the old one", "#0 1 * * * /old", "# the new one"];
        assert_eq!(of(&lines).as_deref(), Some("the new one"));
        assert_eq!(of(&["# the old one", "# @daily /old"]), None);
        assert_eq!(of(&["# which", "#PATH=/bin"]), None);
    }

    #[test]
    fn a_description_has_a_bound() {
        let long = format!("# {}", "é".repeat(300));
        assert_eq!(of(&[&long]).unwrap_or_default().chars().count(), LONGEST);
        let paragraphs = ["# of the file", "#", "# of the entry"];
        assert_eq!(of(&paragraphs).as_deref(), Some("of the entry"));
    }
}
