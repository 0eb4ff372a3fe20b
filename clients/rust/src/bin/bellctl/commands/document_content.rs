//! `bellctl document upload` and `download`.

use std::{io::Write as _, path::Path};

use watchbell_client::{
    pb::{Document, DownloadContentResponse, GetDocumentRequest, download_content_response},
    transfer::{Download, Meter as _, Upload, digest},
};

use crate::{
    args::{DownloadArgs, Format, UploadArgs},
    commands::document_view::{one_line, told},
    exit::Exit,
    failure::Failure,
    name::short,
    output::{remark, spinner},
    pending_file::{PendingFile, safe_file_name},
    progress::{BytesBar, unless_interrupted},
    session::Session,
    stdout::Data,
    text::plain,
};

/// Gives a file to a draft.
pub(super) async fn upload(
    session: &Session,
    args: &UploadArgs,
    actor: String,
) -> Result<Exit, Failure> {
    let shown = args.file.display().to_string();
    let hashing = spinner(&format!("hashing {shown}"));
    let digest = digest(&args.file).await;
    hashing.finish_and_clear();
    let digest = digest?;
    let bar = BytesBar::new(&shown, digest.size);
    let upload = Upload {
        path: args.file.clone(),
        digest,
        document: args.name.clone().into_resource(),
        actor,
        file_name: file_name(&args.file),
    };
    let response = session.client.upload_content(&upload, &bar).await;
    bar.finish();
    let response = response?;
    if session.output.format == Format::Json {
        session.output.json(&response)?;
        return Ok(Exit::Good);
    }
    let content = response.content.clone().unwrap_or_default();
    let stored = format!("stored {}", plain(&told(&content)));
    let line = match &response.document {
        Some(document) => format!("{stored}: {}", one_line(session, document)),
        None => stored,
    };
    session.output.line(&line)?;
    Ok(Exit::Good)
}

/// Fetches the content of a document.
pub(super) async fn download(session: &Session, args: &DownloadArgs) -> Result<Exit, Failure> {
    // The name with its version: the newest version may be another one when a download goes on.
    let request = GetDocumentRequest {
        name: args.name.clone().into_resource(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.documents().get_document(request).await
        })
        .await?;
    let document = response.document.unwrap_or_default();
    if args.file.as_deref() == Some(Path::new("-")) {
        return to_stdout(session, &document).await;
    }
    let target = match &args.file {
        Some(file) => file.clone(),
        None => default_target(&document).into(),
    };
    let mut file = PendingFile::create(&target, args.force)?;
    let work = async {
        let mut download = session.client.download_content(&document.name).await?;
        pour(&mut download, &document, BytesBar::new, |bytes| {
            file.put(bytes)
        })
        .await?;
        Ok(download)
    };
    let download = unless_interrupted(work).await?;
    file.keep()?;
    if args.file.is_none() {
        tell_name(&document, &target, session.output.format);
    }
    if session.output.format == Format::Json {
        let header = download.content().clone();
        session.output.json(&DownloadContentResponse {
            message: Some(download_content_response::Message::Header(header)),
        })?;
    } else {
        let size = told(download.content());
        let line = format!("{} ({size})", target.display());
        session.output.line(&format!("wrote {}", plain(&line)))?;
    }
    Ok(Exit::Good)
}

/// Writes all that comes, and returns once it is known to be right.
async fn pour(
    download: &mut Download,
    document: &Document,
    make_bar: fn(&str, u64) -> BytesBar,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let size = u64::try_from(download.content().size).unwrap_or_default();
    let bar = make_bar(short(&document.name), size);
    let mut written = 0;
    while let Some(bytes) = download.next_bytes().await? {
        write(&bytes)?;
        written += bytes.len() as u64;
        bar.reached(written);
    }
    bar.finish();
    Ok(())
}

async fn to_stdout(session: &Session, document: &Document) -> Result<Exit, Failure> {
    let mut download = session.client.download_content(&document.name).await?;
    let bar = BytesBar::beside_output;
    pour(&mut download, document, bar, |bytes| {
        Ok(Data.write_all(bytes)?)
    })
    .await?;
    Data.flush()?;
    Ok(Exit::Good)
}

/// The name that the content was uploaded with, or the document's own: one that is seen, and taken for no flag.
fn default_target(document: &Document) -> String {
    let uploaded = document.content.as_ref();
    let uploaded = uploaded.and_then(|content| plain_file_name(&content.file_name));
    let own = || plain_file_name(&document.name).unwrap_or_else(|| "content".to_owned());
    uploaded.unwrap_or_else(own)
}

/// The last part of a name without what would hide the file, or have programs take it for something else.
fn plain_file_name(name: &str) -> Option<String> {
    let safe = safe_file_name(name)?;
    let shown: String = safe.chars().filter(|letter| !unseen(*letter)).collect();
    let plain = shown.trim_start_matches(|first: char| {
        matches!(first, '.' | '-' | '~') || first.is_whitespace()
    });
    let plain = plain.trim_end();
    (!plain.is_empty()).then(|| plain.to_owned())
}

/// What turns the letters beside it around, or is none.
fn unseen(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Says under which name it lies, where that is not the one it was uploaded with, or nobody would be told.
fn tell_name(document: &Document, target: &Path, format: Format) {
    let uploaded = document.content.as_ref();
    let uploaded = uploaded.map_or("", |content| content.file_name.as_str());
    let shown = target.display();
    if target != Path::new(uploaded) && !uploaded.is_empty() {
        remark(&format!(
            "it was uploaded as {uploaded:?}, and is kept here as {shown}"
        ));
    } else if format == Format::Json {
        remark(&format!("wrote {shown}"));
    }
}

/// The file's name without its path, as text.
pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use watchbell_client::pb::Content;

    use super::*;

    #[test]
    fn a_download_goes_where_the_name_says_but_never_elsewhere() {
        let named = |file_name: &str| {
            let document = Document {
                name: "documents/SOP-1@1.0".into(),
                content: Some(Content {
                    file_name: file_name.into(),
                    ..Content::default()
                }),
                ..Document::default()
            };
            default_target(&document)
        };
        for (uploaded, kept) in [
            ("a.pdf", "a.pdf"),
            ("../../.bashrc", "bashrc"),
            (".bashrc", "bashrc"),
            ("...", "SOP-1@1.0"),
            ("-rf", "rf"),
            ("--force.pdf", "force.pdf"),
            (" -.- a.pdf", "a.pdf"),
            ("~root", "root"),
            ("..\\.profile", "profile"),
            ("a\u{202e}fdp.exe", "afdp.exe"),
            ("/etc/passwd", "passwd"),
            ("", "SOP-1@1.0"),
            ("..", "SOP-1@1.0"),
            ("a/..", "SOP-1@1.0"),
            ("\u{200b}", "SOP-1@1.0"),
        ] {
            assert_eq!(named(uploaded), kept, "{uploaded:?}");
        }
        assert!(named(&"x".repeat(400)).len() <= 255);
    }
}
