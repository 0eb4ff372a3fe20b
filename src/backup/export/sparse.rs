//! Sparse members of an archive: what says that one is, and the map before its data, which is read with care.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use tar::Header;

use super::{
    holes::{Map, RECORD, Stretch},
    records::whole,
};

const MAJOR: &str = "GNU.sparse.major";
const MINOR: &str = "GNU.sparse.minor";
const NAME: &str = "GNU.sparse.name";
const SIZE: &str = "GNU.sparse.realsize";
/// Where a member lies for who does not know of sparse ones.
const STAND_IN: &[u8] = b"GNUSparseFile.0/";
/// Bytes of a name that fit where archives always had it.
const NAME_BYTES: usize = 100;
/// Stretches of a map that is read.
const STRETCHES: u64 = 1 << 20;

/// What a sparse member says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sparse {
    pub(super) name: Vec<u8>,
    /// With its holes.
    pub(super) size: u64,
}

impl Sparse {
    /// What a member says; none where it is an ordinary one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn of(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<Self>> {
        let Some(extensions) = entry.pax_extensions()? else {
            return Ok(None);
        };
        let (mut version, mut name, mut size) = ([None, None], None, None);
        for one in whole(extensions) {
            let value = one.value_bytes();
            match one.key() {
                Ok(MAJOR) => drop(version[0].get_or_insert(value)),
                Ok(MINOR) => drop(version[1].get_or_insert(value)),
                Ok(NAME) => drop(name.get_or_insert(value)),
                Ok(SIZE) => drop(size.get_or_insert(value)),
                _ => {}
            }
        }
        let size = size.and_then(|size| std::str::from_utf8(size).ok()?.parse().ok());
        let is_known = version == [Some(b"1".as_slice()), Some(b"0".as_slice())];
        Ok(name
            .zip(size)
            .filter(|_| is_known)
            .map(|(name, size)| Self {
                name: name.to_vec(),
                size,
            }))
    }

    /// What says it, before its header.
    pub(super) fn extensions(&self) -> Vec<(String, Vec<u8>)> {
        let all = [
            (MAJOR, b"1".to_vec()),
            (MINOR, b"0".to_vec()),
            (NAME, self.name.clone()),
            (SIZE, self.size.to_string().into_bytes()),
        ];
        all.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// The name in its header, which nobody reads who knows of sparse members.
    pub(super) fn stand_in(&self) -> PathBuf {
        let last = self.name.rsplit(|byte| *byte == b'/').next();
        let last = last.unwrap_or_default();
        let short = &last[..last.len().min(NAME_BYTES - STAND_IN.len())];
        Path::new(OsStr::from_bytes(&[STAND_IN, short].concat())).to_owned()
    }
}

/// A header with all that another has, of the kind that can be one of a sparse member.
///
/// # Errors
/// Where the other holds what is none.
pub(super) fn sparse_header(plain: &Header) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(plain.entry_type());
    header.set_size(plain.size()?);
    header.set_mode(plain.mode()?);
    header.set_mtime(plain.mtime()?);
    // Whose it is nobody may know.
    if let (Ok(uid), Ok(gid)) = (plain.uid(), plain.gid()) {
        header.set_uid(uid);
        header.set_gid(gid);
    }
    Ok(header)
}

/// Reads the map before the data of a member, of which so many bytes are stored; none where it is no map of them.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn read_map(from: &mut impl Read, stored: u64, size: u64) -> io::Result<Option<Map>> {
    let mut numbers = Numbers {
        from,
        record: [0; RECORD],
        at: RECORD,
        bytes: 0,
    };
    let Some(count) = numbers.next()?.filter(|count| *count <= STRETCHES) else {
        return Ok(None);
    };
    let mut map = Map {
        size,
        stretches: Vec::new(),
    };
    let mut end = 0;
    for _ in 0..count {
        let (Some(at), Some(length)) = (numbers.next()?, numbers.next()?) else {
            return Ok(None);
        };
        let until = at.checked_add(length).filter(|until| *until <= size);
        let Some(until) = until.filter(|_| end <= at) else {
            return Ok(None);
        };
        end = until;
        map.stretches.push(Stretch { at, length });
    }
    let is_of_them = numbers.bytes.checked_add(map.data()) == Some(stored);
    Ok(is_of_them.then_some(map))
}

/// Numbers, a line each.
struct Numbers<'a, R> {
    from: &'a mut R,
    record: [u8; RECORD],
    at: usize,
    bytes: u64,
}

impl<R: Read> Numbers<'_, R> {
    /// The next; none where there is none.
    fn next(&mut self) -> io::Result<Option<u64>> {
        let mut number: Option<u64> = None;
        loop {
            if self.at == RECORD {
                match self.from.read_exact(&mut self.record) {
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    read => read?,
                }
                self.at = 0;
                self.bytes += RECORD as u64;
            }
            let byte = self.record[self.at];
            self.at += 1;
            let digit = match byte {
                b'0'..=b'9' => u64::from(byte - b'0'),
                b'\n' => return Ok(number),
                _ => return Ok(None),
            };
            let longer = number.unwrap_or(0).checked_mul(10);
            let Some(longer) = longer.and_then(|longer| longer.checked_add(digit)) else {
                return Ok(None);
            };
            number = Some(longer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::write::header, *};

    fn read(text: &str, data: u64, size: u64) -> Option<Map> {
        let mut head = text.as_bytes().to_vec();
        head.resize(head.len().next_multiple_of(RECORD), 0);
        let stored = head.len() as u64 + data;
        read_map(&mut head.as_slice(), stored, size).unwrap()
    }

    #[test]
    fn a_map_is_read_as_it_was_written() {
        let stretch = |at, length| Stretch { at, length };
        let many = (0..1000).map(|at| stretch(at * 8192, 4096)).collect();
        for (size, stretches) in [
            (1 << 20, vec![stretch(4096, 4096)]),
            (1 << 20, vec![stretch(0, 4096), stretch((1 << 20) - 7, 7)]),
            (1 << 20, Vec::new()),
            (1000 * 8192, many),
        ] {
            let map = Map { size, stretches };
            let head = map.head();
            let stored = head.len() as u64 + map.data();
            let mut read = read_map(&mut head.as_slice(), stored, size)
                .unwrap()
                .unwrap();
            read.stretches.retain(|one| 0 < one.length);
            assert_eq!(read, map);
        }
    }

    #[test]
    fn what_is_no_map_of_the_data_is_none() {
        assert!(read("1\n0\n512\n", 512, 4096).is_some());
        for (text, data) in [
            ("1\n0\n512\n", 511),
            ("1\n0\n512\n", 513),
            ("2\n0\n512\n0\n512\n", 1024),
            ("2\n1024\n512\n0\n512\n", 1024),
            ("1\n3585\n512\n", 512),
            ("1\n18446744073709551615\n512\n", 512),
            ("1\n18446744073709551616\n0\n", 0),
            ("1048577\n", 0),
            ("1\n-1\n512\n", 512),
            ("1\n\n512\n", 512),
            ("1\n0\n", 0),
            ("2\n0\n512\n", 512),
            ("", 0),
        ] {
            assert_eq!(read(text, data, 4096), None, "{text:?}");
        }
    }

    #[test]
    fn the_name_in_the_header_fits() {
        for name in [b"files/a".to_vec(), [b'x'; 300].to_vec(), b"".to_vec()] {
            let sparse = Sparse { name, size: 1 };
            let stand_in = sparse.stand_in();
            // One without an owner.
            let mut header = sparse_header(&header(1, 0)).unwrap();
            header.set_path(stand_in).unwrap();
        }
    }
}
