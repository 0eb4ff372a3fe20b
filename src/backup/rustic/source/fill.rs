//! Reads that fill what they are given.

use std::io::{self, Read};

/// Fills the buffer where there is more: the library's chunker crawls where reads are short.
pub(super) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, and is interrupted before each.
    struct Short {
        bytes: Vec<u8>,
        at: usize,
        interrupted: bool,
    }

    impl Read for Short {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let Some(byte) = self.bytes.get(self.at) else {
                return Ok(0);
            };
            buffer[0] = *byte;
            self.at += 1;
            Ok(1)
        }
    }

    #[test]
    fn short_reads_are_made_long_ones() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut short = Short {
            bytes: bytes.clone(),
            at: 0,
            interrupted: false,
        };
        let mut buffer = [0; 64];
        assert_eq!(fill(&mut short, &mut buffer).unwrap(), 64);
        assert_eq!(buffer, bytes[..64]);
        assert_eq!(fill(&mut short, &mut buffer).unwrap(), 36);
        assert_eq!(buffer[..36], bytes[64..]);
    }
}
