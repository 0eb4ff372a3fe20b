//! The working process that has a snapshot open, and answers what is asked of it.

use std::{
    io::Write as _,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    thread,
};

use anyhow::Context as _;

use super::{
    super::{
        Rustic,
        error::{broke_down, other},
        gate::lock,
        quiet::few_cores,
        reader::Reader,
    },
    listed::{Listed, fitting},
    wire::{Asked, Fault, Heard, PIECE_MAX, Question, Replied, Reply, line},
};
use crate::backup::repository::{Result, SnapshotId, SnapshotReader as _};

/// Entries of a directory that are told at once, at most.
const LISTED_AT_ONCE: usize = 512;

/// An answer, and the bytes that follow it.
type Answered = Result<(Reply, Vec<u8>)>;

/// Opens a snapshot, and answers until the server has heard enough.
///
/// # Errors
/// Where nobody hears the answers.
pub(super) fn serve(
    rustic: &Rustic,
    snapshot: &SnapshotId,
    anew: bool,
    mut heard: Heard<UnixStream>,
    to: UnixStream,
) -> anyhow::Result<()> {
    let opened = match anew {
        true => rustic.reader_anew(snapshot),
        false => rustic.reader(snapshot),
    };
    let to = Arc::new(Mutex::new(to));
    let reader = match opened {
        Ok(reader) => Arc::new(reader),
        Err(error) => return reply(&to, 0, Err(error)).context("nobody hears the answer"),
    };
    let opened = reply(&to, 0, Ok((Reply::Open, Vec::new())));
    opened.context("nobody hears the answer")?;
    let (questions, asked) = mpsc::channel::<Asked>();
    let asked = Arc::new(Mutex::new(asked));
    for number in 0..few_cores() {
        let (asked, reader, to) = (Arc::clone(&asked), Arc::clone(&reader), Arc::clone(&to));
        thread::Builder::new()
            .name(format!("backup-reads-{number}"))
            .spawn(move || answer_all(&asked, &reader, &to))?;
    }
    while let Ok(Some(asked)) = heard.next::<Asked>() {
        questions.send(asked)?;
    }
    Ok(())
}

fn answer_all(asked: &Mutex<Receiver<Asked>>, reader: &Reader, to: &Mutex<UnixStream>) {
    loop {
        let next = lock(asked).recv();
        let Ok(Asked { number, question }) = next else {
            return;
        };
        // It is waited for: who breaks down over it says so, and answers the next.
        let answered = catch_unwind(AssertUnwindSafe(|| answer(reader, question)));
        let answered = answered.unwrap_or_else(|panic| Err(other(broke_down(&*panic))));
        // Who does not hear it any more asks nothing more, and what follows half a line is none.
        if reply(to, number, answered).is_err() {
            return;
        }
    }
}

fn answer(reader: &Reader, question: Question) -> Answered {
    let reply = match question {
        Question::Entry(path) => Reply::Entry(reader.entry(&path)?.map(Listed::of)),
        Question::List { path, after, most } => {
            let after = after.as_ref().map(|after| after.as_bytes());
            let most = most.min(LISTED_AT_ONCE);
            let children = reader.children(&path, after, most)?;
            let Some(entries) = children else {
                return Ok((Reply::List(None, false), Vec::new()));
            };
            let count = entries.len();
            let entries = fitting(entries);
            let more = entries.len() < count || count == most;
            Reply::List(Some(entries), more)
        }
        Question::Piece { path, number } => {
            let (bytes, more) = reader.piece(&path, number)?;
            if PIECE_MAX < bytes.len() {
                return Err(other(format!("a piece of {path} is too large")));
            }
            return Ok((Reply::Piece(bytes.len(), more), bytes.to_vec()));
        }
    };
    Ok((reply, Vec::new()))
}

fn reply(to: &Mutex<UnixStream>, number: u64, answered: Answered) -> std::io::Result<()> {
    let (reply, bytes) = match answered {
        Ok((reply, bytes)) => (Ok(reply), bytes),
        Err(error) => (Err(Fault::from(error)), Vec::new()),
    };
    let (line, bytes) = match line(&Replied { number, reply }) {
        Ok(line) => (line, bytes),
        Err(error) => {
            let why = Fault::from(other(error.to_string()));
            let reply = Err(why);
            (line(&Replied { number, reply })?, Vec::new())
        }
    };
    let mut to = lock(to);
    to.write_all(&line)?;
    to.write_all(&bytes)
}
