//! How the bytes of a register stand for text: found out, and made UTF-8 of.

use std::{
    fmt,
    io::{self, Read},
};

/// Bytes read and decoded at once.
const CHUNK: usize = 32 * 1024;

/// How bytes stand for text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As everything but spreadsheets writes it.
    #[default]
    Utf8,
    /// As spreadsheets write "Unicode text".
    Utf16Le,
    /// The same with its bytes the other way round.
    Utf16Be,
    /// As spreadsheets of western Europe write CSV.
    Windows1252,
}

impl Encoding {
    /// Such as `UTF-16 LE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16 LE",
            Self::Utf16Be => "UTF-16 BE",
            Self::Windows1252 => "Windows-1252",
        }
    }

    /// The mark that may stand before the text.
    pub(super) fn mark(self) -> &'static [u8] {
        match self {
            Self::Utf8 => b"\xef\xbb\xbf",
            Self::Utf16Le => b"\xff\xfe",
            Self::Utf16Be => b"\xfe\xff",
            Self::Windows1252 => b"",
        }
    }

    /// What the first four bytes tell, where they tell anything: a mark, or the half of a letter that is NUL.
    pub(super) fn of_beginning(beginning: &[u8]) -> Option<Self> {
        match beginning {
            [0xef, 0xbb, 0xbf, ..] => Some(Self::Utf8),
            [0xff, 0xfe, ..] => Some(Self::Utf16Le),
            [0xfe, 0xff, ..] => Some(Self::Utf16Be),
            [1..=0xff, 0, 1..=0xff, 0, ..] => Some(Self::Utf16Le),
            [0, 1..=0xff, 0, 1..=0xff, ..] => Some(Self::Utf16Be),
            _ => None,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Finds out by reading all there is. What is not UTF-8 throughout is Windows-1252; but where most of what is not
/// ASCII is sound UTF-8, it is that, and damaged in places.
///
/// # Errors
/// Where it cannot be read.
pub fn survey(source: &mut impl Read) -> io::Result<Encoding> {
    let mut bytes = Vec::with_capacity(2 * CHUNK);
    let mut is_first = true;
    let (mut sound, mut unsound) = (0_u64, 0_u64);
    loop {
        let read = source.by_ref().take(CHUNK as u64).read_to_end(&mut bytes)?;
        if std::mem::take(&mut is_first)
            && let Some(told) = Encoding::of_beginning(&bytes)
        {
            return Ok(told);
        }
        let left = weigh(&bytes, &mut sound, &mut unsound);
        bytes.drain(..bytes.len() - left);
        if read == 0 {
            // A letter that the end cuts off is none.
            unsound += u64::from(left > 0);
            break;
        }
    }
    Ok(match unsound > sound {
        true => Encoding::Windows1252,
        false => Encoding::Utf8,
    })
}

/// Counts what is not ASCII. Says how many bytes at the end are the beginning of a letter.
fn weigh(mut bytes: &[u8], sound: &mut u64, unsound: &mut u64) -> usize {
    loop {
        let (text, broken) = match std::str::from_utf8(bytes) {
            Ok(_) => (bytes, None),
            Err(error) => {
                let (text, rest) = bytes.split_at(error.valid_up_to());
                (text, Some((rest, error.error_len())))
            }
        };
        *sound += text.iter().filter(|&&byte| byte >= 0xc0).count() as u64;
        match broken {
            None => return 0,
            Some((rest, None)) => return rest.len(),
            Some((rest, Some(length))) => {
                *unsound += 1;
                bytes = rest.get(length..).unwrap_or_default();
            }
        }
    }
}

/// Text as UTF-8, whatever it is made of. What stands for no letter becomes U+FFFD.
pub(super) struct Decoded<R> {
    source: R,
    encoding: Encoding,
    /// What was read of the source: between two reads, half a letter at most.
    raw: Vec<u8>,
    text: String,
    /// How much of the text was handed out.
    given: usize,
    /// The first half of a letter that takes two.
    high: Option<u16>,
    ended: bool,
}

impl<R: Read> Decoded<R> {
    pub(super) fn new(source: R, encoding: Encoding) -> Self {
        Self {
            source,
            encoding,
            raw: Vec::new(),
            text: String::new(),
            given: 0,
            high: None,
            ended: false,
        }
    }

    /// Decodes the next piece.
    fn refill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.given = 0;
        let kept = self.raw.len();
        self.raw.resize(kept + CHUNK, 0);
        let read = loop {
            let room = self.raw.get_mut(kept..).unwrap_or_default();
            match self.source.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.raw.truncate(kept + read);
        self.ended = read == 0;
        match self.encoding {
            Encoding::Windows1252 => {
                let text = self.raw.iter().map(|&byte| windows_1252(byte));
                self.text.extend(text);
                self.raw.clear();
            }
            Encoding::Utf8 | Encoding::Utf16Le | Encoding::Utf16Be => self.units(),
        }
        Ok(())
    }

    fn units(&mut self) {
        let raw = std::mem::take(&mut self.raw);
        let (pairs, rest) = raw.as_chunks::<2>();
        for &pair in pairs {
            self.unit(match self.encoding {
                Encoding::Utf16Be => u16::from_be_bytes(pair),
                _ => u16::from_le_bytes(pair),
            });
        }
        self.raw.extend_from_slice(rest);
        if self.ended && (self.high.take().is_some() || !self.raw.is_empty()) {
            self.raw.clear();
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn unit(&mut self, unit: u16) {
        if let Some(high) = self.high.take() {
            let both = char::decode_utf16([high, unit]).next();
            match both {
                Some(Ok(letter)) => {
                    self.text.push(letter);
                    return;
                }
                Some(Err(_)) | None => self.text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => {
                let letter = char::from_u32(u32::from(unit));
                self.text
                    .push(letter.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.encoding == Encoding::Utf8 {
            return self.source.read(buffer);
        }
        loop {
            let mut left = self.text.as_bytes().get(self.given..).unwrap_or_default();
            if !left.is_empty() || buffer.is_empty() {
                let given = left.read(buffer)?;
                self.given += given;
                return Ok(given);
            }
            if self.ended {
                return Ok(0);
            }
            self.refill()?;
        }
    }
}

/// What stands for nothing stays a control character, which no register takes.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH
            .get(usize::from(byte - 0x80))
            .copied()
            .unwrap_or(char::REPLACEMENT_CHARACTER),
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], encoding: Encoding) -> String {
        let mut text = String::new();
        let mut source = Decoded::new(bytes, encoding);
        source.read_to_string(&mut text).unwrap();
        text
    }

    fn found(bytes: &[u8]) -> Encoding {
        survey(&mut &*bytes).unwrap()
    }

    #[test]
    fn what_a_file_is_made_of_is_found_out() {
        assert_eq!(found(b"number,title"), Encoding::Utf8);
        assert_eq!(found("Größe –".as_bytes()), Encoding::Utf8);
        assert_eq!(found(b"\xef\xbb\xbfnumber"), Encoding::Utf8);
        assert_eq!(found(b"Gr\xf6\xdfe \x96"), Encoding::Windows1252);
        assert_eq!(found(b"\xff\xfen\0"), Encoding::Utf16Le);
        assert_eq!(found(b"\xfe\xff\0n"), Encoding::Utf16Be);
        assert_eq!(found(b"n\0u\0m\0"), Encoding::Utf16Le);
        assert_eq!(found(b"\0n\0u"), Encoding::Utf16Be);
        assert_eq!(found(b""), Encoding::Utf8);
        // Damaged in one place, and sound in others.
        assert_eq!(found(b"\xc3\xa9\xc3\xa9 \xff"), Encoding::Utf8);
        // The letter that the end cuts off.
        assert_eq!(found(b"caf\xe9"), Encoding::Windows1252);
    }

    #[test]
    fn a_letter_between_two_pieces_is_one() {
        let mut text = "x".repeat(CHUNK - 1);
        text.push('é');
        assert_eq!(found(text.as_bytes()), Encoding::Utf8);
        let wide: Vec<u8> = format!("x{}", "😀é".repeat(CHUNK))
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let read = decoded(&wide, Encoding::Utf16Le);
        assert_eq!(read, format!("x{}", "😀é".repeat(CHUNK)));
    }

    #[test]
    fn every_encoding_is_made_utf_8_of() {
        assert_eq!(
            decoded(b"Pr\xfcfanweisung \x96 \x80", Encoding::Windows1252),
            "Prüfanweisung – €"
        );
        assert_eq!(decoded(b"\0n\0\xe9", Encoding::Utf16Be), "né");
        assert_eq!(decoded(b"n\0\xe9", Encoding::Utf16Le), "n\u{fffd}");
        assert_eq!(decoded(b"\x3d\xd8n\0", Encoding::Utf16Le), "\u{fffd}n");
        assert_eq!(decoded(b"\x3d\xd8", Encoding::Utf16Le), "\u{fffd}");
        assert_eq!(decoded("é".as_bytes(), Encoding::Utf8), "é");
    }
}
