//! Which paths of a source are wanted: includes and excludes, relative to where it begins.

use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// `*` and `?` stay within a name; `**` crosses directories. What matches is wanted, or left out, with all in it.
#[derive(Debug)]
pub(super) struct Globs {
    /// None: everything.
    include: Option<GlobSet>,
    /// What is on the way to something that may be included.
    on_the_way: GlobSet,
    exclude: GlobSet,
}

impl Globs {
    /// # Errors
    /// What is wrong with which pattern.
    pub(super) fn new(include: &[String], exclude: &[String]) -> Result<Self, String> {
        let on_the_way: Vec<_> = include.iter().flat_map(|text| prefixes(text)).collect();
        Ok(Self {
            include: (!include.is_empty()).then(|| set(include)).transpose()?,
            on_the_way: set(&on_the_way)?,
            exclude: set(exclude)?,
        })
    }

    pub(super) fn excludes(&self, path: &Path) -> bool {
        self.exclude.is_match(path)
    }

    pub(super) fn includes(&self, path: &Path) -> bool {
        self.include
            .as_ref()
            .is_none_or(|globs| globs.is_match(path))
    }

    pub(super) fn includes_everything(&self) -> bool {
        self.include.is_none()
    }

    /// Whether something in this directory may be included, though it is not itself.
    pub(super) fn may_include_within(&self, directory: &Path) -> bool {
        self.on_the_way.is_match(directory)
    }
}

fn set(patterns: &[String]) -> Result<GlobSet, String> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        builder.add(glob(pattern)?);
    }
    builder.build().map_err(|error| error.to_string())
}

fn glob(pattern: &str) -> Result<Glob, String> {
    // Who writes `logs/` or `/logs` means a directory of the source.
    let pattern = pattern.trim_start_matches('/').trim_end_matches('/');
    if pattern.is_empty() {
        return Err("a pattern is empty".to_owned());
    }
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|error| error.to_string())
}

/// Patterns of the directories above what `pattern` matches: of `a/*/c` these are `a` and `a/*`.
fn prefixes(pattern: &str) -> Vec<String> {
    let pattern = pattern.trim_start_matches('/').trim_end_matches('/');
    let mut found = Vec::new();
    let mut so_far = String::new();
    let mut names = pattern.split('/').peekable();
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

    #[test]
    fn a_star_stays_within_a_name_and_two_cross_directories() {
        let globs = globs(&["*.txt", "deep/**/x"], &[]);
        assert!(globs.includes(Path::new("a.txt")));
        assert!(!globs.includes(Path::new("b/a.txt")));
        assert!(globs.includes(Path::new("deep/a/b/x")));
        assert!(globs.includes(Path::new("deep/x")));
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
        assert!(globs.includes(Path::new("top")));
    }

    #[test]
    fn names_need_not_be_utf8() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let globs = globs(&[], &["*.tmp"]);
        assert!(globs.excludes(Path::new(OsStr::from_bytes(b"\xff\n.tmp"))));
        assert!(!globs.excludes(Path::new(OsStr::from_bytes(b"\xff\n.txt"))));
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Globs::new(&["a[".to_owned()], &[]).unwrap_err();
        assert!(error.contains("a["), "{error}");
    }
}
