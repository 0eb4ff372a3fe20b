//! Records of pax before a member. The library takes each line for one, and a value may hold line ends: what follows then
//! may be of a file's attributes, which whoever owns the file writes as he likes.

use std::io::{self, Read};

use tar::{PaxExtension, PaxExtensions};

/// Bytes of a name in a header.
const NAME_BYTES: usize = 100;

/// Records up to the first that is not whole: each of them ends where its length says, so that the next one is none that
/// lies in a value.
pub(super) fn whole(records: PaxExtensions<'_>) -> impl Iterator<Item = PaxExtension<'_>> {
    records.map_while(Result::ok)
}

/// A member's name, which is not what a value says.
///
/// # Errors
/// Where the records cannot be read.
pub(super) fn name_of(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<u8>> {
    let made_up = match entry.pax_extensions()? {
        None => None,
        Some(records) => made_up(records),
    };
    let name = entry.path_bytes();
    let short = entry.header().path_bytes();
    // A longer one stands before its header, which holds what there is room for.
    let is_long = NAME_BYTES <= short.len() && name.starts_with(&short);
    Ok(match made_up {
        Some(made_up) if *made_up == *name && !is_long => short.into_owned(),
        _ => name.into_owned(),
    })
}

/// The name that the library takes from a value, where there is none before it.
fn made_up(records: PaxExtensions<'_>) -> Option<Vec<u8>> {
    let mut is_whole = true;
    for record in records {
        match record {
            Err(_) => is_whole = false,
            Ok(record) if record.key_bytes() == b"path" => {
                return (!is_whole).then(|| record.value_bytes().to_vec());
            }
            Ok(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{super::sparse::Sparse, *};

    /// What is said of a member with these records: its name, and whether it is a sparse one.
    fn read(name: &str, records: &[(&str, &[u8])]) -> (String, Option<Sparse>) {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_pax_extensions(records.iter().copied()).unwrap();
        let mut header = super::super::write::header(0, 0);
        tar.append_data(&mut header, name, io::empty()).unwrap();
        let packed = tar.into_inner().unwrap();
        let mut tar = tar::Archive::new(packed.as_slice());
        let mut entry = tar.entries().unwrap().next().unwrap().unwrap();
        let sparse = Sparse::of(&mut entry).unwrap();
        let name = name_of(&mut entry).unwrap();
        (String::from_utf8(name).unwrap(), sparse)
    }

    #[test]
    fn what_an_attribute_holds_is_no_record() {
        let value = b"\n22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=x\n\
                      25 GNU.sparse.realsize=1\n13 path=abcd\n";
        let attribute = ("SCHILY.xattr.user.x", value.as_slice());
        assert_eq!(read("a/b", &[attribute]), ("a/b".to_owned(), None));
        let long = "x".repeat(150);
        assert_eq!(read(&long, &[attribute]), (long.clone(), None));
        let named = [("path", b"other".as_slice()), attribute];
        assert_eq!(read("a/b", &named).0, "other");
    }

    #[test]
    fn what_stands_before_an_attribute_counts() {
        let sparse = Sparse {
            name: b"files/a".to_vec(),
            size: 7,
        };
        let own = sparse.extensions();
        let mut records: Vec<_> = own
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let attribute = b"\n21 GNU.sparse.name=x\n".as_slice();
        records.push(("SCHILY.xattr.user.x", attribute));
        assert_eq!(read("stand-in", &records).1, Some(sparse));
    }
}
