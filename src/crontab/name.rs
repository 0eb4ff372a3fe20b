//! Gives each entry a name: lower case letters, digits and hyphens, unique within the import.

use std::collections::{HashMap, HashSet};

/// The longest name.
const NAME_MAX: usize = 63;

/// Endings that say what a program is written in, not what it does.
const SUFFIXES: [&str; 7] = [".sh", ".bash", ".py", ".pl", ".php", ".rb", ".js"];

/// The names given so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// The last number that was given to a name made the same way.
    counts: HashMap<String, usize>,
}

impl Names {
    /// A name made of the cron.d file's, if there is one, and the program's.
    pub(super) fn give(&mut self, file: Option<&str>, program: Option<&str>) -> String {
        let base = base(file, program);
        // Looked for from the last one on: a crontab may have thousands of one name.
        let count = self.counts.entry(base.clone()).or_default();
        loop {
            *count += 1;
            let name = match *count {
                1 => base.clone(),
                number => {
                    let suffix = format!("-{number}");
                    cut(&base, NAME_MAX - suffix.len()) + &suffix
                }
            };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

fn base(file: Option<&str>, program: Option<&str>) -> String {
    let file = slug(file.unwrap_or_default());
    let program = program.unwrap_or_default();
    let stem = SUFFIXES
        .iter()
        .find_map(|suffix| program.strip_suffix(suffix))
        .unwrap_or(program);
    let program = slug(stem);
    let repeats = program == file || program.starts_with(&format!("{file}-"));
    let joined = match (file.as_str(), program.as_str()) {
        ("", "") => "job".to_owned(),
        ("", _) => program,
        (_, "") => file,
        _ if repeats => program,
        _ => format!("{file}-{program}"),
    };
    cut(&joined, NAME_MAX)
}

/// Everything that is not a letter or a digit becomes one hyphen, and none at the ends.
fn slug(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

/// At most `max` characters, not ending in a hyphen. A slug is ASCII, so bytes are characters.
fn cut(slug: &str, max: usize) -> String {
    slug.chars()
        .take(max)
        .collect::<String>()
        .trim_end_matches('-')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(file: Option<&str>, program: Option<&str>) -> String {
        Names::default().give(file, program)
    }

    #[test]
    fn a_name_joins_file_and_program_without_saying_it_twice() {
        assert_eq!(first(Some("php"), Some("sessionclean")), "php-sessionclean");
        assert_eq!(first(Some("certbot"), Some("certbot")), "certbot");
        assert_eq!(
            first(Some("e2scrub_all"), Some("e2scrub_all_cron")),
            "e2scrub-all-cron"
        );
        assert_eq!(first(None, Some("Clean DB.sh")), "clean-db");
        assert_eq!(first(Some("php"), None), "php");
        assert_eq!(first(None, Some("…")), "job");
    }

    #[test]
    fn a_name_given_before_gets_a_number_and_stays_within_63_characters() {
        let mut names = Names::default();
        let long = "a".repeat(80);
        assert_eq!(names.give(None, Some("a-2")), "a-2");
        assert_eq!(names.give(None, Some("a")), "a");
        assert_eq!(names.give(None, Some("a")), "a-3");
        assert_eq!(names.give(None, Some(&long)), "a".repeat(63));
        assert_eq!(names.give(None, Some(&long)), "a".repeat(61) + "-2");
        assert_eq!(
            names.give(None, Some(&format!("{}-b", "c".repeat(62)))),
            "c".repeat(62)
        );
    }
}
