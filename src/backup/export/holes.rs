//! Files with holes, as GNU tar's format 1.0 for pax has them: a map of where data is, and then that data alone. A snapshot
//! does not know of holes: they are where nothing but zeros is, as for a restore.

use std::io::{self, Read, Write};

/// A hole is of whole blocks of the file system.
const BLOCK: usize = 4096;
static ZEROS: [u8; BLOCK] = [0; BLOCK];
/// Bytes of a file's holes, all together, below which nobody misses the room that they take.
pub(super) const LEAST: u64 = 1 << 20;
/// The part of a file that its holes are at least: not every tar knows sparse files, and most files have some zeros.
const PART: u64 = 4;
/// Bytes of a file's data that are kept, so that it need not be read once more to be written.
pub(super) const KEPT: usize = 8 << 20;
/// Bytes of holes that are in that much data at least where it is looked for more.
const SOME: u64 = 64 << 10;
/// Stretches of data that a map tells apart; in a file of more, small holes are data.
const STRETCHES: usize = 16 << 10;
// Holes are taken for data only where the data is read again.
const _: () = assert!(KEPT < STRETCHES * BLOCK);
/// What an archive is made of.
pub(super) const RECORD: usize = 512;

/// A stretch of data in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) at: u64,
    pub(super) length: u64,
}

impl Stretch {
    pub(super) fn end(self) -> u64 {
        self.at + self.length
    }
}

/// Where a file has data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    /// Of the file, holes included.
    pub(super) size: u64,
    pub(super) stretches: Vec<Stretch>,
}

impl Map {
    /// Bytes of data.
    pub(super) fn data(&self) -> u64 {
        self.stretches.iter().map(|one| one.length).sum()
    }

    /// Whether its holes are worth a map.
    pub(super) fn is_sparse(&self) -> bool {
        are_worth_it(self.size - self.data(), self.size)
    }

    /// As it stands before the data. A hole at the end is told by a stretch of nothing behind it.
    pub(super) fn head(&self) -> Vec<u8> {
        let end = Stretch {
            at: self.size,
            length: 0,
        };
        let ends_with_a_hole = self
            .stretches
            .last()
            .is_none_or(|last| last.end() < self.size);
        let stretches = self
            .stretches
            .iter()
            .chain(ends_with_a_hole.then_some(&end));
        let mut head = format!("{}\n", stretches.clone().count()).into_bytes();
        for one in stretches {
            head.extend(format!("{}\n{}\n", one.at, one.length).into_bytes());
        }
        head.resize(head.len().next_multiple_of(RECORD), 0);
        head
    }

    /// Takes the smallest holes for data until there are half as many stretches as there may be.
    fn coarsen(&mut self) {
        let mut least = BLOCK as u64;
        while STRETCHES / 2 < self.stretches.len() {
            least *= 2;
            self.stretches.dedup_by(|one, before| {
                let is_small = one.at - before.end() < least;
                if is_small {
                    before.length = one.end() - before.at;
                }
                is_small
            });
        }
    }
}

/// Whether so many bytes of holes are, in a file of this size.
fn are_worth_it(holes: u64, size: u64) -> bool {
    LEAST <= holes && size.div_ceil(PART) <= holes
}

/// Looks for holes in what is written to it, and keeps the data while it is little. It takes no more once the data is much
/// and hardly a hole is in it, or too little is left for holes: most files have none, and are then read whole but once.
pub(super) struct Looking {
    map: Map,
    /// As it is expected.
    size: u64,
    data: u64,
    is_in_vain: bool,
    kept: Option<Vec<u8>>,
    /// Of a block that has not come whole.
    begun: Vec<u8>,
}

impl Looking {
    /// Of a file of this size.
    pub(super) fn new(size: u64) -> Self {
        Self {
            map: Map::default(),
            size,
            data: 0,
            is_in_vain: false,
            kept: Some(Vec::new()),
            begun: Vec::new(),
        }
    }

    /// Whether it took no more.
    pub(super) fn is_in_vain(&self) -> bool {
        self.is_in_vain
    }

    /// The map, and the data where all of it was kept.
    pub(super) fn finish(mut self) -> (Map, Option<Vec<u8>>) {
        let rest = std::mem::take(&mut self.begun);
        self.look(&rest);
        (self.map, self.kept)
    }

    fn look(&mut self, block: &[u8]) {
        let at = self.map.size;
        self.map.size += block.len() as u64;
        if block == &ZEROS[..block.len()] {
            return;
        }
        let length = block.len() as u64;
        self.data += length;
        match self.map.stretches.last_mut() {
            Some(last) if last.end() == at => last.length += length,
            _ => {
                if self.map.stretches.len() == STRETCHES {
                    self.map.coarsen();
                }
                self.map.stretches.push(Stretch { at, length });
            }
        }
        match &mut self.kept {
            Some(kept) if kept.len() + block.len() <= KEPT => kept.extend_from_slice(block),
            kept => *kept = None,
        }
        let has_some = SOME <= self.map.size - self.data;
        let left = self.size.saturating_sub(self.data);
        let is_too_much = !has_some || !are_worth_it(left, self.size);
        self.is_in_vain |= self.kept.is_none() && is_too_much;
    }
}

impl Write for Looking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_in_vain {
            return Err(io::Error::other("it is looked through for holes in vain"));
        }
        let mut left = bytes;
        if !self.begun.is_empty() {
            let count = left.len().min(BLOCK - self.begun.len());
            self.begun.extend_from_slice(&left[..count]);
            left = &left[count..];
            if self.begun.len() == BLOCK {
                let mut whole = std::mem::take(&mut self.begun);
                self.look(&whole);
                whole.clear();
                self.begun = whole;
            }
        }
        let (blocks, rest) = left.split_at(left.len() - left.len() % BLOCK);
        blocks.chunks(BLOCK).for_each(|block| self.look(block));
        self.begun.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes on the data alone of what is written to it.
pub(super) struct Picking<'a, W> {
    into: W,
    left: &'a [Stretch],
    at: u64,
}

impl<'a, W: Write> Picking<'a, W> {
    pub(super) fn new(map: &'a Map, into: W) -> Self {
        Self {
            into,
            left: &map.stretches,
            at: 0,
        }
    }
}

impl<W: Write> Write for Picking<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (mut at, end) = (self.at, self.at + bytes.len() as u64);
        while let [first, rest @ ..] = self.left {
            let (from, to) = (first.at.max(at), first.end().min(end));
            if from < to {
                let [from, to] = [from, to].map(|place| (place - self.at) as usize);
                self.into.write_all(&bytes[from..to])?;
            }
            at = at.max(to);
            if end < first.end() {
                break;
            }
            self.left = rest;
        }
        self.at = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// Reads a file with its holes, of its data alone.
pub(super) struct Filled<R> {
    from: R,
    stretches: std::vec::IntoIter<Stretch>,
    /// What is left of the stretch that comes next, or is being read.
    next: Stretch,
    at: u64,
    size: u64,
}

impl<R: Read> Filled<R> {
    pub(super) fn new(map: Map, from: R) -> Self {
        Self {
            from,
            next: Stretch::default(),
            stretches: map.stretches.into_iter(),
            at: 0,
            size: map.size,
        }
    }
}

impl<R: Read> Read for Filled<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.next.length == 0 {
            let end = Stretch {
                at: self.size,
                length: 1,
            };
            self.next = self.stretches.next().unwrap_or(end);
        }
        let is_data = self.next.at <= self.at && self.at < self.size;
        let end = match is_data {
            true => self.next.end(),
            false => self.next.at,
        };
        let room = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        let room = room.min(into.len());
        let into = &mut into[..room];
        if !is_data {
            into.fill(0);
            self.at += room as u64;
            return Ok(room);
        }
        let count = self.from.read(into)?;
        if count == 0 && !into.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.next.at += count as u64;
        self.next.length -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
