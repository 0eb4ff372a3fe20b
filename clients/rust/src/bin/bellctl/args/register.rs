//! Flags of the commands that bring registers in and out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use watchbell_client::register::{Column, Encoding, Form, Hints, Separator};

/// Flags of `document import`.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The register.
    pub(crate) file: PathBuf,
    /// How it is written. Default: by its suffix, .csv, .jsonl or .ndjson.
    #[arg(long, value_enum)]
    pub(crate) form: Option<FormName>,
    /// Check all rows, and keep nothing; first the file is shown as it is understood.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// A column that the file calls otherwise, such as `Nummer=number`; as often as there are such.
    #[arg(long, value_name = "NAME=COLUMN", value_parser = mapped)]
    map: Vec<(String, Column)>,
    /// Leave out columns that no register has.
    #[arg(long)]
    ignore_unknown: bool,
    /// How days are written, beside `2026-03-01`: the 31st of December 2026, such as `31.12.2026` or `12/31/2026`.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "SAMPLE"
    )]
    pub(crate) date_format: String,
    /// What separates the columns. Default: as the header tells.
    #[arg(long, value_enum)]
    separator: Option<SeparatorName>,
    /// What the bytes stand for. Default: as they tell.
    #[arg(long, value_enum)]
    encoding: Option<EncodingName>,
}

/// Flags of `document export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Where to write it. Default: standard output.
    #[arg(required_if_eq("content", "true"))]
    pub(crate) file: Option<PathBuf>,
    /// How to write it. Default: by the suffix of FILE, and csv on standard output.
    #[arg(long, value_enum)]
    pub(crate) form: Option<FormName>,
    /// Whom it is for. `excel`: CSV that spreadsheets open by a click, in which nothing is a formula.
    #[arg(long = "for", value_enum, value_name = "PROGRAM")]
    pub(crate) reader: Option<ReaderName>,
    /// What separates the columns for a spreadsheet. Default: semicolons where the locale writes 1,5, else commas.
    #[arg(long, value_enum, requires = "reader")]
    separator: Option<SeparatorName>,
    /// With their contents, into the folder `content` beside FILE.
    #[arg(long)]
    pub(crate) content: bool,
    /// Overwrite FILE where there is one.
    #[arg(long)]
    pub(crate) force: bool,
}

/// How a register is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormName {
    /// Comma-separated, with a header.
    Csv,
    /// A JSON object on each line.
    Jsonl,
}

/// What separates columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeparatorName {
    #[value(alias = ",")]
    Comma,
    #[value(alias = ";")]
    Semicolon,
    Tab,
    #[value(alias = "|")]
    Bar,
}

/// What bytes stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncodingName {
    #[value(name = "utf-8")]
    Utf8,
    #[value(name = "utf-16le")]
    Utf16Le,
    #[value(name = "utf-16be")]
    Utf16Be,
    #[value(name = "windows-1252")]
    Windows1252,
}

/// Who reads an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReaderName {
    /// Excel, and spreadsheets like it.
    Excel,
}

impl ImportArgs {
    /// What was said of the file.
    pub(crate) fn hints(&self) -> Hints {
        Hints {
            encoding: self.encoding.map(EncodingName::encoding),
            separator: self.separator.map(SeparatorName::separator),
            map: self.map.clone(),
            ignore_unknown: self.ignore_unknown,
        }
    }
}

impl ExportArgs {
    /// What separates the columns for a spreadsheet, where that was said.
    pub(crate) fn separator(&self) -> Option<Separator> {
        self.separator.map(SeparatorName::separator)
    }
}

impl SeparatorName {
    fn separator(self) -> Separator {
        match self {
            Self::Comma => Separator::Comma,
            Self::Semicolon => Separator::Semicolon,
            Self::Tab => Separator::Tab,
            Self::Bar => Separator::Bar,
        }
    }
}

impl EncodingName {
    fn encoding(self) -> Encoding {
        match self {
            Self::Utf8 => Encoding::Utf8,
            Self::Utf16Le => Encoding::Utf16Le,
            Self::Utf16Be => Encoding::Utf16Be,
            Self::Windows1252 => Encoding::Windows1252,
        }
    }
}

impl FormName {
    pub(crate) fn form(self) -> Form {
        match self {
            Self::Csv => Form::Csv,
            Self::Jsonl => Form::JsonLines,
        }
    }
}

/// `Nummer=number`.
fn mapped(text: &str) -> Result<(String, Column), String> {
    let expected = "expected NAME=COLUMN, such as `Nummer=number`";
    // A name may hold the mark itself.
    let (name, column) = text.rsplit_once('=').ok_or(expected)?;
    let known = Column::named(column).ok_or_else(|| {
        let known = Column::ALL.map(Column::name).join(", ");
        format!("`{column}` is no column; expected one of {known}")
    })?;
    match name.trim() {
        "" => Err(expected.to_owned()),
        name => Ok((name.to_owned(), known)),
    }
}
