//! A file of Rust as the house rules see it: its paths in full, and its remarks apart.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use super::lexer::{Lexed, Token, lex};

/// A file, taken apart.
pub(super) struct Source {
    path: PathBuf,
    /// The path below `src` or its like, with `/` between the parts.
    inner: String,
    text: String,
    lexed: Lexed,
    paths: Vec<UsedPath>,
}

/// A path that code says, in full: `use crate::{store::Store}` says `crate::store::Store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UsedPath {
    pub(super) line: usize,
    segments: Vec<String>,
}

impl Source {
    /// Every `.rs` file below `folder`, by path; none where there is no such folder.
    pub(super) fn all(folder: &str) -> Vec<Self> {
        // Tests run in the package's folder.
        let mut folders = vec![PathBuf::from(folder)];
        let mut found = Vec::new();
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    let inner = path.strip_prefix(folder).unwrap_or(&path);
                    found.push(Self::new(
                        path.clone(),
                        inner.to_string_lossy().replace('\\', "/"),
                        text,
                    ));
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    fn new(path: PathBuf, inner: String, text: String) -> Self {
        let lexed = lex(&text);
        let paths = Reader::new(&inner, &lexed.tokens).read();
        Self {
            path,
            inner,
            text,
            lexed,
            paths,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    pub(super) fn paths(&self) -> &[UsedPath] {
        &self.paths
    }

    /// The room the file belongs to; none for the library's root.
    pub(super) fn room(&self) -> Option<&str> {
        let first = self.inner.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (room != "lib").then_some(room)
    }

    /// Whether this is the file `place`, or the module `place`, or lies in it.
    pub(super) fn is_in(&self, place: &str) -> bool {
        let module = place.strip_suffix(".rs").unwrap_or(place);
        let rest = self.inner.strip_prefix(module);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// The lines whose code has these tokens, which blanks separate, one after another.
    pub(super) fn lines_with(&self, tokens: &str) -> Vec<usize> {
        let wanted: Vec<_> = tokens.split(' ').collect();
        let windows = self.lexed.tokens.windows(wanted.len());
        let found = windows.filter(|window| window.iter().map(|token| &token.text).eq(&wanted));
        found.map(|window| window[0].line).collect()
    }

    /// The lines of the comments that have `word`.
    pub(super) fn remarks_with(&self, word: &str) -> Vec<usize> {
        let has = |text: &str| {
            text.split(|c: char| !c.is_alphanumeric())
                .any(|part| part == word)
        };
        let found = self.lexed.remarks.iter().filter(|remark| has(&remark.text));
        found.map(|remark| remark.line).collect()
    }
}

impl UsedPath {
    /// The room of this crate that the path leads to.
    pub(super) fn room(&self) -> Option<&str> {
        match self.segments.as_slice() {
            [root, room, ..] if root == "crate" || root == "watchbell" => Some(room),
            _ => None,
        }
    }

    /// Whether the path begins with the name `word`, or has the path `word` in it.
    pub(super) fn says(&self, word: &str) -> bool {
        let wanted: Vec<_> = word.split("::").collect();
        match wanted.as_slice() {
            [name] => self.segments.first().is_some_and(|first| first == name),
            _ => self
                .segments
                .windows(wanted.len())
                .any(|window| window.iter().eq(&wanted)),
        }
    }
}

/// Collects the paths of one file.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The module that the tokens at hand are in.
    module: Vec<String>,
    /// For each open brace, whether it opened a module.
    braces: Vec<bool>,
    imports: HashMap<String, Vec<String>>,
    said: Vec<UsedPath>,
}

impl<'a> Reader<'a> {
    fn new(inner: &str, tokens: &'a [Token]) -> Self {
        let parts = inner.strip_suffix(".rs").unwrap_or(inner).split('/');
        let mut module = vec!["crate".to_owned()];
        module.extend(
            parts
                .filter(|part| !matches!(*part, "mod" | "lib" | "main"))
                .map(str::to_owned),
        );
        Self {
            tokens,
            at: 0,
            module,
            braces: Vec::new(),
            imports: HashMap::new(),
            said: Vec::new(),
        }
    }

    fn read(mut self) -> Vec<UsedPath> {
        while self.at < self.tokens.len() {
            match self.text(0) {
                // `use<…>` says what an opaque type captures.
                "use" if self.text(1) != "<" => {
                    self.at += 1;
                    self.tree(&[]);
                }
                "mod" if self.text(2) == "{" => {
                    self.module.push(self.text(1).to_owned());
                    self.braces.push(true);
                    self.at += 3;
                }
                "{" => {
                    self.braces.push(false);
                    self.at += 1;
                }
                "}" => {
                    if self.braces.pop() == Some(true) {
                        self.module.pop();
                    }
                    self.at += 1;
                }
                _ if self.is_name(0) && self.text(1) == "::" => self.path(),
                _ => self.at += 1,
            }
        }
        // An import may stand below what uses it.
        for used in &mut self.said {
            if let Some(full) = used
                .segments
                .first()
                .and_then(|first| self.imports.get(first))
            {
                used.segments.splice(..1, full.iter().cloned());
            }
        }
        self.said
    }

    /// The text of the token `ahead` of the one at hand; empty past the end.
    fn text(&self, ahead: usize) -> &'a str {
        self.tokens
            .get(self.at + ahead)
            .map_or("", |token| &token.text)
    }

    fn is_name(&self, ahead: usize) -> bool {
        self.text(ahead)
            .starts_with(|c: char| c.is_alphabetic() || c == '_')
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    /// A path in code, at its first name.
    fn path(&mut self) {
        let line = self.line();
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.is_name(1) {
            segments.push(self.text(1).to_owned());
            self.at += 2;
        }
        // Also past the `::` before `<` or `{`.
        if self.text(0) == "::" {
            self.at += 1;
        }
        let segments = self.resolved(segments);
        self.said.push(UsedPath { line, segments });
    }

    /// A `use` tree below `prefix`, up to the `,`, `}` or `;` behind it.
    fn tree(&mut self, prefix: &[String]) {
        let line = self.line();
        let mut segments = prefix.to_vec();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | ";" | "") {
                        self.tree(&segments);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                // `time::{self}` names what stands before the brace.
                "self" if !prefix.is_empty() => self.at += 1,
                "as" => {
                    let alias = self.text(1).to_owned();
                    self.at += 2;
                    self.import(line, alias, segments);
                    return;
                }
                "," | "}" | ";" | "" => {
                    let name = segments.last().cloned().unwrap_or_default();
                    self.import(line, name, segments);
                    return;
                }
                name => {
                    segments.push(name.to_owned());
                    self.at += 1;
                }
            }
        }
    }

    fn import(&mut self, line: usize, name: String, segments: Vec<String>) {
        let segments = self.resolved(segments);
        if segments.len() > 1 && name != "_" {
            self.imports.insert(name, segments.clone());
        }
        self.said.push(UsedPath { line, segments });
    }

    /// `self` and `super` at the front, resolved.
    fn resolved(&self, segments: Vec<String>) -> Vec<String> {
        let ups = segments
            .iter()
            .take_while(|segment| matches!(segment.as_str(), "self" | "super"))
            .count();
        if ups == 0 {
            return segments;
        }
        let supers = segments[..ups]
            .iter()
            .filter(|segment| *segment == "super")
            .count();
        let kept = self.module.len().saturating_sub(supers).max(1);
        [&self.module[..kept], &segments[ups..]].concat()
    }
}

fn said(inner: &str, text: &str) -> Vec<String> {
    let source = Source::new(inner.into(), inner.to_owned(), text.to_owned());
    source
        .paths
        .iter()
        .map(|used| used.segments.join("::"))
        .collect()
}

#[test]
fn a_tree_of_uses_is_read_as_its_paths() {
    let text = "use crate::{domain::{Run, self}, store::Tx as T, error::*};";
    let paths = [
        "crate::domain::Run",
        "crate::domain",
        "crate::store::Tx",
        "crate::error::*",
    ];
    assert_eq!(said("engine/runner.rs", text), paths);
}

#[test]
fn imported_names_are_followed() {
    let text = "fn f() { time::sleep(x); Moment::now() } use tokio::time; use std::time::Instant as Moment;";
    let paths = [
        "tokio::time::sleep",
        "std::time::Instant::now",
        "tokio::time",
        "std::time::Instant",
    ];
    assert_eq!(said("journal.rs", text), paths);
}

#[test]
fn self_and_super_lead_from_the_module_at_hand() {
    let text = "use super::super::tasks::X; mod tests { use super::Y; fn f() { super::super::z::g() } } use self::w::V;";
    let paths = [
        "crate::tasks::X",
        "crate::store::runs::Y",
        "crate::store::z::g",
        "crate::store::runs::w::V",
    ];
    assert_eq!(said("store/runs.rs", text), paths);
}

#[test]
fn what_captures_is_no_import() {
    assert_eq!(
        said("api/mod.rs", "fn f() -> impl Stream + use<> { a::b() }"),
        ["a::b"]
    );
}

#[test]
fn words_match_whole_names() {
    let path = |text: &str| UsedPath {
        line: 1,
        segments: text.split("::").map(str::to_owned).collect(),
    };
    assert!(path("jiff::Timestamp::now").says("Timestamp::now"));
    assert!(path("tonic::Status").says("tonic"));
    assert!(!path("tonic_types::Status").says("tonic"));
    assert!(!path("crate::api::tonic::x").says("tonic"));
    assert!(!path("std::environment::var").says("std::env"));
}
