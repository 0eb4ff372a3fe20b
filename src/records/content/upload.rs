//! Taking a content in: from a header and the bytes that follow to a file in its place, and a document that has it.

use std::pin::pin;

use futures_util::{Stream, StreamExt as _, stream};

use super::{
    as_size, away, blocking,
    health::{Fault, clear_faults},
    partial::{Announced, Partial},
    receive::receive,
};
use crate::{
    domain::{
        Caller, Document,
        document::{self, Content, key::Named, line, person},
    },
    error::{Error, Reason, Result, all},
    records::{Documents, attach::may_attach},
};

/// Longest name of a file, in characters.
const FILE_NAME_MAX: usize = 255;

/// A content to be, as it is announced.
#[derive(Clone, Debug)]
pub struct NewContent {
    /// The DRAFT that gets it.
    pub document: Option<Named>,
    pub actor: String,
    /// Empty: it is not announced, and what breaks off is lost.
    pub sha256: String,
    pub size: Option<u64>,
    /// Where to go on.
    pub offset: u64,
    pub file_name: String,
}

/// What is stored, and which document has it.
#[derive(Clone, Debug)]
pub struct Uploaded {
    pub content: Content,
    pub document: Option<Document>,
}

/// How much of a content is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// All of it, in its place.
    pub complete: bool,
    pub bytes: u64,
}

impl Documents {
    /// How much of a content is here, by the disk.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `sha256`; where the disk or the database is away.
    pub async fn upload_received(&self, hash: &str) -> Result<Received> {
        let hash = document::sha256("sha256", hash)?;
        let (files, of) = (self.files(), hash.clone());
        let look = move || {
            let size = files.size(&of).map_err(away)?;
            Ok((size, files.received(&of).map_err(away)?))
        };
        let (size, bytes) = blocking(look).await?;
        match size {
            Some(size) if self.fits(&hash, size).await?.is_ok() => Ok(Received {
                complete: true,
                bytes: size,
            }),
            _ => Ok(Received {
                complete: false,
                bytes,
            }),
        }
    }

    /// Takes a content in, and gives it to the document that is named. Where it is stored already, no bytes need
    /// come; those that come all the same are taken in like others, and must be right.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field; [`Error::Conflict`] `UPLOAD_OFFSET` or `ILLEGAL_TRANSITION`;
    /// [`Error::Aborted`] `UPLOAD_IN_PROGRESS` or `CONTENT_GONE`; [`Error::Denied`] where the document is another's;
    /// what the chunks end with; where the disk is full or away.
    pub async fn upload<C>(
        &self,
        who: &Caller,
        new: NewContent,
        chunks: impl Stream<Item = Result<C>> + Send,
    ) -> Result<Uploaded>
    where
        C: AsRef<[u8]> + Send + 'static,
    {
        let (new, announced) = self.checked(new)?;
        if let Some(named) = &new.document {
            // Before all the bytes, and not after them only.
            may_attach(&self.store().document(named).await?, &new.actor)?;
        }
        let mut chunks = pin!(chunks);
        let mut first = None;
        if let Some(size) = self.stored(&announced).await? {
            first = chunks.next().await.transpose()?;
            if first.is_none() {
                let hash = announced.sha256.unwrap_or_default();
                return self.keep(who, &new, hash, size).await;
            }
        }
        let (files, offset, hash) = (self.files(), new.offset, announced.sha256.clone());
        let opened = blocking(move || Partial::open(&files, hash.as_deref(), offset)).await?;
        let chunks = pin!(stream::iter(first.map(Ok)).chain(chunks));
        let most = self.settings().content.max_bytes;
        let partial = receive(opened, chunks, announced.size, most).await?;
        let (hash, size) = blocking(move || partial.finish(&announced)).await?;
        self.keep(who, &new, hash, size).await
    }

    fn checked(&self, new: NewContent) -> Result<(NewContent, Announced)> {
        let most = self.settings().content.max_bytes;
        let size = match new.size.filter(|size| most < *size) {
            None => Ok(new.size),
            Some(size) => {
                let what =
                    format!("{size} bytes; the server takes {most} at most, its content.max_bytes");
                Err(Error::invalid("header.size", what))
            }
        };
        let (texts, size, ()) = all((
            Texts::read(&new.sha256, &new.actor, &new.file_name),
            size,
            check_offset(&new, most),
        ))?;
        let Texts {
            sha256,
            actor,
            file_name,
        } = texts;
        let new = NewContent {
            actor,
            file_name,
            ..new
        };
        Ok((new, Announced { sha256, size }))
    }

    /// The size of a content that is stored already, where its hash was announced. What is plainly not what its
    /// name says is moved out of the way.
    async fn stored(&self, announced: &Announced) -> Result<Option<u64>> {
        let Some(hash) = &announced.sha256 else {
            return Ok(None);
        };
        let (files, of) = (self.files(), hash.clone());
        let found = blocking(move || match std::fs::symlink_metadata(files.place(&of)) {
            Ok(file) if file.is_file() => Ok(Some(file)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(away(error)),
        });
        let Some(file) = found.await? else {
            return Ok(None);
        };
        if let Err(what) = self.fits(hash, file.len()).await? {
            self.tell_fault(hash, Fault::Damaged { file, what }).await?;
            return Ok(None);
        }
        match announced.size {
            Some(size) if size != file.len() => {
                let what = format!(
                    "{size} given; the content of this sha256 is stored, and has {}",
                    file.len()
                );
                Err(Error::invalid("header.size", what))
            }
            _ => Ok(Some(file.len())),
        }
    }

    /// Whether a file has the size that was noted when it was stored; else what is wrong.
    async fn fits(&self, hash: &str, size: u64) -> Result<Result<(), String>> {
        let known = self.store().content(hash).await?;
        Ok(match known {
            Some(known) if known.size != as_size(size) => {
                Err(format!("it has {size} bytes instead of {}", known.size))
            }
            _ => Ok(()),
        })
    }

    /// Notes what is in its place, and gives it to the document that is named.
    async fn keep(
        &self,
        who: &Caller,
        new: &NewContent,
        hash: String,
        size: u64,
    ) -> Result<Uploaded> {
        let content = Content {
            sha256: hash,
            size: as_size(size),
            file_name: new.file_name.clone(),
        };
        let mut tx = self.store().begin().await?;
        let hashes = [content.sha256.clone()];
        let held = self.hold_contents(&mut tx, &hashes).await?;
        if held.get(&content.sha256) != Some(&content.size) {
            return Err(Error::Aborted {
                reason: Reason::ContentGone,
                message: "the content was swept at this moment: send it again, with all its bytes"
                    .to_owned(),
            });
        }
        clear_faults(&mut tx, &content.sha256).await?;
        let document = match &new.document {
            Some(named) => {
                let content = content.clone();
                Some(
                    self.attach(&mut tx, who, named, &new.actor, content)
                        .await?,
                )
            }
            None => None,
        };
        tx.commit().await?;
        Ok(Uploaded { content, document })
    }
}

/// A name that any system can give to a file in a folder of its own.
/// Texts of an upload's header that were checked.
struct Texts {
    sha256: Option<String>,
    actor: String,
    file_name: String,
}

impl Texts {
    fn read(sha256: &str, actor: &str, file_name: &str) -> Result<Self> {
        let announced = match sha256.is_empty() {
            true => Ok(None),
            false => document::sha256("header.sha256", sha256).map(Some),
        };
        let (sha256, actor, file_name) = all((
            announced,
            person("header.actor", actor),
            self::file_name(file_name),
        ))?;
        Ok(Self {
            sha256,
            actor,
            file_name,
        })
    }
}

/// Checks the texts of an upload's header.
///
/// # Errors
/// [`Error::Invalid`] or [`Error::Several`], naming the fields.
pub fn check_texts(sha256: &str, actor: &str, file_name: &str) -> Result<()> {
    Texts::read(sha256, actor, file_name).map(drop)
}

fn check_offset(new: &NewContent, most: u64) -> Result<()> {
    let wrong = |what: String| Err(Error::invalid("header.offset", what));
    let bound = new.size.unwrap_or(most);
    match new.offset {
        0 => Ok(()),
        _ if new.sha256.is_empty() => {
            wrong("going on with an upload takes header.sha256 as well".to_owned())
        }
        offset if bound < offset => wrong(format!(
            "{offset} given; expected at most {bound}, the size"
        )),
        _ => Ok(()),
    }
}

fn file_name(text: &str) -> Result<String> {
    let field = "header.file_name";
    let name = line(field, text, 0, FILE_NAME_MAX)?;
    if name.contains(['/', '\\']) || [".", ".."].contains(&name.as_str()) {
        let what = "expected the file's name alone, without a path";
        return Err(Error::invalid(field, what));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_a_name_and_no_path() {
        for good in ["", "SOP 1 (final).pdf", "Прил. 1.docx", "..."] {
            assert_eq!(file_name(good).unwrap(), good);
        }
        for wrong in ["../a", "/a", "a\\b", "..", ".", "a\nb", "a\0b"] {
            let error = file_name(wrong).unwrap_err().to_string();
            assert!(error.contains("header.file_name"), "{error}");
        }
        assert!(file_name(&"x".repeat(256)).is_err());
    }
}
