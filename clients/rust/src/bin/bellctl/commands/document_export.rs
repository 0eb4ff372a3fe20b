//! `bellctl document export`: writes all documents as a register.

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use watchbell_client::{
    pb::{DocumentRow, ExportDocumentsRequest},
    register::{Column, FileRow, Form, Separator, Writer},
    transfer::digest,
};

use crate::{
    args::{ExportArgs, FormName, ReaderName},
    exit::Exit,
    failure::Failure,
    locale,
    output::remark,
    pending_file::{PendingFile, safe_file_name},
    progress::{rows_bar, unless_interrupted},
    session::Session,
    stdout::Data,
};

/// The folder of contents, beside the register.
const CONTENT: &str = "content";

const RUN_AGAIN: &str = "run it again: nothing was written";

/// How the register is laid out.
#[derive(Clone, Copy)]
enum Layout {
    Plain(Form),
    /// For spreadsheets.
    Sheet(Separator),
}

impl Layout {
    fn of(args: &ExportArgs, form: Form) -> Result<Self, Failure> {
        match (args.reader, form) {
            (None, form) => Ok(Self::Plain(form)),
            (Some(ReaderName::Excel), Form::Csv) => {
                let said = args.separator();
                Ok(Self::Sheet(said.unwrap_or_else(locale::separator)))
            }
            (Some(ReaderName::Excel), Form::JsonLines) => Err(Failure::Usage(
                "spreadsheets read CSV: write to a file that ends in .csv, or say --form csv"
                    .to_owned(),
            )),
        }
    }

    fn told(self) -> String {
        match self {
            Self::Plain(_) => String::new(),
            Self::Sheet(separator) => format!(", separated by {separator}"),
        }
    }
}

/// Writes a file, or standard output.
pub(super) async fn export(session: &Session, args: &ExportArgs) -> Result<Exit, Failure> {
    // As with `download`, `-` is standard output.
    let file = args.file.as_ref().filter(|path| path.as_os_str() != "-");
    let Some(path) = file else {
        if args.content {
            let what = "--content needs a FILE: contents lie in a folder beside it";
            return Err(Failure::Usage(what.to_owned()));
        }
        let layout = Layout::of(args, args.form.map_or(Form::Csv, FormName::form))?;
        write_rows(session, layout, BufWriter::new(Data), None).await?;
        return Ok(Exit::Good);
    };
    let layout = match args
        .form
        .map(FormName::form)
        .or_else(|| Form::of_path(path))
    {
        Some(form) => Layout::of(args, form)?,
        None => {
            return Err(Failure::Usage(format!(
                "the suffix of {} does not tell its form: say --form csv or --form jsonl",
                path.display()
            )));
        }
    };
    let file = PendingFile::create(path, args.force)?;
    let contents = args.content.then(|| Contents::beside(path, args.force));
    let work = write_rows(session, layout, BufWriter::new(file), contents.as_ref());
    let (count, file) = unless_interrupted(work).await?;
    let file = file
        .into_inner()
        .map_err(|error| Failure::Output(error.into_error()))?;
    file.keep()?;
    let told = layout.told();
    remark(&format!(
        "wrote {count} documents to {}{told}",
        path.display()
    ));
    Ok(Exit::Good)
}

/// Writes the rows as they come, and with `contents` fetches what they hold.
async fn write_rows<W: Write>(
    session: &Session,
    layout: Layout,
    target: W,
    contents: Option<&Contents>,
) -> Result<(u64, W), Failure> {
    let bar = rows_bar("export");
    let broken = |status| Failure::of_stream(status, RUN_AGAIN);
    let mut writer = match layout {
        Layout::Plain(form) => Writer::open(form, target)?,
        Layout::Sheet(separator) => Writer::for_spreadsheets(separator, target)?,
    };
    let mut documents = session.client.documents();
    let response = documents.export_documents(ExportDocumentsRequest {}).await;
    let mut messages = response.map_err(broken)?.into_inner();
    let mut count = 0;
    while let Some(message) = messages.message().await.map_err(broken)? {
        bar.inc_length(message.rows.len() as u64);
        for row in message.rows {
            let content_path = match contents {
                Some(contents) if !row.content_sha256.is_empty() => {
                    contents.fetch(session, &row).await?
                }
                Some(_) | None => String::new(),
            };
            let mut file_row = FileRow {
                row,
                ..FileRow::default()
            };
            file_row.set(Column::ContentPath, &content_path);
            writer.write(&file_row)?;
            count += 1;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok((count, writer.finish()?))
}

/// Contents in a folder of their own.
struct Contents {
    folder: PathBuf,
    overwrite: bool,
}

impl Contents {
    fn beside(register: &Path, overwrite: bool) -> Self {
        Self {
            folder: register.with_file_name(CONTENT),
            overwrite,
        }
    }

    /// Fetches what the row names, unless it is there, and says where it lies.
    async fn fetch(&self, session: &Session, row: &DocumentRow) -> Result<String, Failure> {
        let sha256 = &row.content_sha256;
        let hash = sha256.get(..16).unwrap_or(sha256);
        let name = safe_file_name(&row.content_file_name).unwrap_or_else(|| CONTENT.to_owned());
        let name = format!("{hash}-{name}");
        let path = self.folder.join(&name);
        if !self.has(&path, sha256).await? {
            let made = fs::create_dir_all(&self.folder);
            made.map_err(|source| Failure::Write {
                path: self.folder.clone(),
                source,
            })?;
            let mut file = PendingFile::create(&path, self.overwrite)?;
            let document = format!(
                "documents/{}@{}.{}",
                row.number, row.version_major, row.version_minor
            );
            let mut download = session.client.download_content(&document).await?;
            while let Some(bytes) = download.next_bytes().await? {
                file.put(&bytes)?;
            }
            file.keep()?;
        }
        Ok(format!("{CONTENT}/{name}"))
    }

    /// Whether the very content lies there, from another row or an export before.
    async fn has(&self, path: &Path, sha256: &str) -> Result<bool, Failure> {
        if !path.is_file() {
            return Ok(false);
        }
        Ok(digest(path).await?.sha256 == sha256)
    }
}
