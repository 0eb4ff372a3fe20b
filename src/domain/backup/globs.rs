//! Which paths of a source are wanted: includes and excludes, which mean what they mean in a `.gitignore`.

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The meaning of patterns, as a number that grows where it changes: what the rules of a source leave out is compared
/// with what was backed up before where it is another.
pub const MEANING: u32 = 2;

/// A pattern without a slash, but at its end, is of names at every depth; with one it begins where the source does. `*`
/// and `?` stay within a name, `**` crosses directories, a slash at the end is of directories alone, and `!` takes back
/// what stands before. What matches is wanted, or left out, with all in it.
#[derive(Debug)]
pub struct Globs {
    /// None: everything.
    include: Option<Gitignore>,
    /// What is on the way to something that may be included.
    on_the_way: Gitignore,
    exclude: Gitignore,
}

impl Globs {
    /// # Errors
    /// What is wrong with which pattern.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let on_the_way: Vec<_> = include.iter().flat_map(|text| prefixes(text)).collect();
        Ok(Self {
            include: (!include.is_empty()).then(|| set(include)).transpose()?,
            on_the_way: set(&on_the_way)?,
            exclude: set(exclude)?,
        })
    }

    pub fn excludes(&self, path: &Path, is_directory: bool) -> bool {
        self.exclude.matched(path, is_directory).is_ignore()
    }

    pub fn includes(&self, path: &Path, is_directory: bool) -> Included {
        let Some(include) = &self.include else {
            return Included::AsAbove;
        };
        match include.matched(path, is_directory) {
            ignore::Match::Ignore(_) => Included::Yes,
            ignore::Match::Whitelist(_) => Included::No,
            ignore::Match::None => Included::AsAbove,
        }
    }

    pub fn includes_everything(&self) -> bool {
        self.include.is_none()
    }

    /// Whether something in this directory may be included, though it is not itself.
    pub fn may_include_within(&self, directory: &Path) -> bool {
        self.on_the_way.matched(directory, true).is_ignore()
    }

    /// Whether a file of the source is wanted, by its path in it.
    pub fn wants_file(&self, file: &Path) -> bool {
        self.wants(file, false)
    }

    /// Whether something in a directory of the source may be wanted, by its path in it.
    pub fn wants_within(&self, directory: &Path) -> bool {
        self.wants(directory, true) || self.may_include_within(directory)
    }

    fn wants(&self, path: &Path, is_itself_directory: bool) -> bool {
        let mut included = self.includes_everything();
        let mut so_far = PathBuf::new();
        let mut names = path.iter().peekable();
        while let Some(name) = names.next() {
            so_far.push(name);
            let is_directory = is_itself_directory || names.peek().is_some();
            if self.excludes(&so_far, is_directory) {
                return false;
            }
            included = self.includes(&so_far, is_directory).or(included);
            if is_directory && !included && !self.may_include_within(&so_far) {
                return false;
            }
        }
        included
    }
}

/// What the includes say of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Included {
    Yes,
    No,
    /// Nothing: it is as with the directory that it is in.
    AsAbove,
}

impl Included {
    pub fn or(self, above: bool) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::AsAbove => above,
        }
    }
}

fn set(patterns: &[String]) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("/");
    for pattern in patterns {
        if pattern.trim_matches(['/', '!', ' ']).is_empty() {
            return Err(format!("pattern {pattern:?} names nothing"));
        }
        // There are no comments here.
        let escaped = match pattern.starts_with('#') {
            true => format!("\\{pattern}"),
            false => pattern.clone(),
        };
        builder
            .add_line(None, &escaped)
            .map_err(|error| error.to_string())?;
    }
    builder.build().map_err(|error| error.to_string())
}

/// Patterns of the directories above what `pattern` matches: of `a/*/c` these are `/a` and `/a/*`, and all of `c`.
fn prefixes(pattern: &str) -> Vec<String> {
    if pattern.starts_with('!') {
        return Vec::new();
    }
    let plain = pattern.trim_end_matches('/');
    let is_anywhere = !plain.contains('/');
    let plain = plain.trim_start_matches('/');
    if is_anywhere {
        return vec!["**".to_owned()];
    }
    let mut found = Vec::new();
    let mut so_far = "/".to_owned();
    let mut names = plain.split('/').peekable();
    while let Some(name) = names.next() {
        // Braces may hold slashes, and then the name ends elsewhere; all below is on the way then.
        let anything = name.contains("**") || name.contains('{') || name.contains('[');
        if anything {
            found.push(format!("{so_far}**"));
            break;
        }
        if names.peek().is_some() {
            so_far.push_str(name);
            found.push(so_far.clone());
            so_far.push('/');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Globs {
        let owned = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        Globs::new(&owned(include), &owned(exclude)).unwrap()
    }

    fn wants(globs: &Globs, path: &str) -> bool {
        globs.wants_file(Path::new(path))
    }

    #[test]
    fn a_star_stays_within_a_name_and_two_cross_directories() {
        let globs = globs(&["/*.txt", "deep/**/x"], &[]);
        assert!(wants(&globs, "a.txt"));
        assert!(!wants(&globs, "b/a.txt"));
        assert!(wants(&globs, "deep/a/b/x"));
        assert!(wants(&globs, "deep/x"));
        assert!(!wants(&globs, "x"));
    }

    #[test]
    fn a_pattern_without_a_slash_is_of_names_at_every_depth() {
        let excluding = globs(&[], &["*.html", "cache/", "#odd#"]);
        assert!(!wants(&excluding, "index.html"));
        assert!(!wants(&excluding, "a/b/index.html"));
        assert!(!wants(&excluding, "a/cache/x"));
        assert!(
            wants(&excluding, "a/cache"),
            "a slash at the end is of directories"
        );
        assert!(!wants(&excluding, "a/#odd#"), "it is no comment");
        let including = globs(&["*.html"], &[]);
        assert!(wants(&including, "a/b/index.html"));
        assert!(!wants(&including, "a/b/index.txt"));
    }

    #[test]
    fn what_begins_with_a_mark_takes_back_what_stands_before() {
        let globs = globs(&[], &["*.log", "!keep.log"]);
        assert!(!wants(&globs, "a/some.log"));
        assert!(wants(&globs, "a/keep.log"));
    }

    #[test]
    fn a_directory_is_entered_where_an_include_can_reach_into_it() {
        let globs = globs(&["a/*/c", "/top/", "z/**/x", "q/{b,c/d}"], &[]);
        for on_the_way in ["a", "a/whatever", "z", "z/y", "z/y/w", "q", "q/c"] {
            assert!(
                globs.may_include_within(Path::new(on_the_way)),
                "{on_the_way}"
            );
        }
        for elsewhere in ["b", "a/b/d", "zz"] {
            assert!(
                !globs.may_include_within(Path::new(elsewhere)),
                "{elsewhere}"
            );
        }
        assert_eq!(globs.includes(Path::new("top"), true), Included::Yes);
        assert_eq!(globs.includes(Path::new("top"), false), Included::AsAbove);
    }

    #[test]
    fn names_need_not_be_utf8() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let globs = globs(&[], &["*.tmp"]);
        assert!(globs.excludes(Path::new(OsStr::from_bytes(b"\xff\n.tmp")), false));
        assert!(!globs.excludes(Path::new(OsStr::from_bytes(b"\xff\n.txt")), false));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Globs::new(&["a{b".to_owned()], &[]).unwrap_err();
        assert!(error.contains("a{b"), "{error}");
        assert!(Globs::new(&[], &["/".to_owned()]).is_err());
    }
}
