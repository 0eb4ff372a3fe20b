//! Orders to a launcher, and its reports.

use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::proc::{Living, Process};

/// Bytes of an order at most.
pub(super) const ORDER_MAX: usize = 64 << 20;

/// Text of the system, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Word {
    Text(String),
    Bytes(Vec<u8>),
}

/// A program to start. It travels by a socket, never by arguments: it may hold secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    /// The program, by absolute path, and its arguments.
    pub argv: Vec<Word>,
    /// All of its environment.
    pub environment: Vec<(Word, Word)>,
    /// Its working directory; the server's where there is none.
    pub directory: Option<PathBuf>,
    /// Text to find at its standard input.
    pub stdin: Option<String>,
    /// Whether its standard input is the other way of its standard output, which is a socket then.
    #[serde(default)]
    pub(super) converses: bool,
    /// Whom to run it as, where that is another than the server's user.
    pub identity: Option<Identity>,
    /// What is masked in command lines that are reported.
    pub secrets: Vec<String>,
    /// A cgroup to run it in.
    pub(super) cgroup: Option<PathBuf>,
    /// How many files it may have open, where that is less than its launcher may.
    pub(super) open_files: Option<u64>,
}

/// A user with all groups.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// For messages.
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What a launcher tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// The program runs, and leads a process group.
    Started { leader: Process },
    /// It could not be started.
    Refused { reason: String },
    /// It has ended; what it started may live.
    Ended {
        code: Option<i32>,
        signal: Option<i32>,
        living: Living,
    },
    /// Nothing that it started lives any more.
    Alone,
    /// The launcher lets go of these, as it was asked to.
    Left { living: Living },
    /// These could not be ended.
    Stuck { living: Living },
}

/// What a launcher is asked, by a byte. Where it hears nothing any more, since the server has gone or let go, it
/// ends everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM to all that lives.
    Terminate,
    /// SIGKILL to all that lives.
    Kill,
    /// Let go of what lives, also once the server has gone.
    Leave,
}

impl Wish {
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Terminate => b'T',
            Self::Kill => b'K',
            Self::Leave => b'L',
        }
    }

    pub(super) fn of(byte: u8) -> Option<Self> {
        [Self::Terminate, Self::Kill, Self::Leave]
            .into_iter()
            .find(|wish| wish.byte() == byte)
    }
}

impl Order {
    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl Into<Word>>) -> &mut Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// A program with nothing but its arguments.
    pub fn of(argv: impl IntoIterator<Item = impl Into<Word>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            directory: None,
            stdin: None,
            converses: false,
            identity: None,
            secrets: Vec::new(),
            cgroup: None,
            open_files: None,
        }
    }
}

impl fmt::Debug for Order {
    /// Shows the program alone: the rest may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("program", &self.argv.first())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).fmt(f),
        }
    }
}

impl From<OsString> for Word {
    fn from(text: OsString) -> Self {
        match text.into_string() {
            Ok(text) => Self::Text(text),
            Err(text) => Self::Bytes(text.as_bytes().to_vec()),
        }
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Word> for OsString {
    fn from(word: Word) -> Self {
        match word {
            Word::Text(text) => text.into(),
            Word::Bytes(bytes) => Self::from_vec(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_no_utf_8_arrives_as_it_was() {
        let text = OsString::from_vec(vec![b'a', 0xff]);
        let sent = serde_json::to_vec(&Word::from(text.clone())).unwrap();
        let read: Word = serde_json::from_slice(&sent).unwrap();
        assert_eq!(OsString::from(read), text);
    }

    #[test]
    fn an_order_shows_no_secret() {
        let mut order = Order::of(["/bin/true"]);
        order.environment = vec![("KEY".into(), "hunter2".into())];
        order.stdin = Some("hunter2".to_owned());
        order.secrets = vec!["hunter2".to_owned()];
        let shown = format!("{order:?}");
        assert!(
            shown.contains("/bin/true") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
