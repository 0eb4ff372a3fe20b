//! Writing what comes while more of it comes: one hand takes from the caller, the other hashes and writes, and
//! neither is ever more than a little ahead.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use tokio::task::JoinHandle;

use super::{blocking, partial::Partial};
use crate::error::{Error, Result};

/// What may have come while the disk is still busy with what came before.
const WAITING_BYTES_MAX: u64 = 2 << 20;

/// A content that comes in, on its way to the disk.
struct Writer<C> {
    hand: Hand,
    waiting: Vec<C>,
    waiting_bytes: u64,
}

/// Whether something is being written. Then the file is with whoever writes.
enum Hand {
    Resting(Partial),
    Writing(JoinHandle<Result<Partial>>),
    /// Writing has failed.
    Gone,
}

/// Takes all that comes, `announced` bytes in all at most, or `most` where that is not known. What has come until
/// it breaks off is written.
///
/// # Errors
/// What the chunks end with; [`Error::Invalid`] for too many; where the disk is full or away.
pub(super) async fn receive<C, S>(
    partial: Partial,
    mut chunks: Pin<&mut S>,
    announced: Option<u64>,
    most: u64,
) -> Result<Partial>
where
    C: AsRef<[u8]> + Send + 'static,
    S: Stream<Item = Result<C>> + ?Sized,
{
    let mut size = partial.size();
    let mut writer = Writer {
        hand: Hand::Resting(partial),
        waiting: Vec::new(),
        waiting_bytes: 0,
    };
    let ended = loop {
        tokio::select! {
            rested = writer.rest(), if writer.is_writing() => {
                rested?;
                writer.write();
            }
            next = chunks.next(), if writer.has_room() => match next {
                Some(Ok(chunk)) => {
                    size += chunk.as_ref().len() as u64;
                    if announced.unwrap_or(most) < size {
                        return Err(too_many(writer.end().await?, announced, most));
                    }
                    writer.add(chunk);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        }
    };
    let partial = writer.end().await?;
    ended.map(|()| partial)
}

fn too_many(partial: Partial, announced: Option<u64>, most: u64) -> Error {
    if let Some(announced) = announced {
        return partial.too_many(announced);
    }
    partial.give_up();
    let what = format!(
        "more than {most} bytes came, which the server takes at most, its content.max_bytes: nothing is kept of them"
    );
    Error::invalid("data", what)
}

impl<C: AsRef<[u8]> + Send + 'static> Writer<C> {
    fn is_writing(&self) -> bool {
        matches!(self.hand, Hand::Writing(_))
    }

    fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES_MAX
    }

    fn add(&mut self, chunk: C) {
        self.waiting_bytes += chunk.as_ref().len() as u64;
        self.waiting.push(chunk);
        self.write();
    }

    /// Begins to write what waits, unless something is being written.
    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.hand = match std::mem::replace(&mut self.hand, Hand::Gone) {
            Hand::Resting(mut partial) => {
                let chunks = std::mem::take(&mut self.waiting);
                self.waiting_bytes = 0;
                Hand::Writing(tokio::spawn(blocking(move || {
                    partial.add(&chunks)?;
                    Ok(partial)
                })))
            }
            hand => hand,
        };
    }

    /// Completes once nothing is being written.
    async fn rest(&mut self) -> Result<()> {
        if let Hand::Writing(job) = &mut self.hand {
            let done = job.await;
            self.hand = Hand::Gone;
            self.hand = Hand::Resting(done.map_err(Error::internal)??);
        }
        Ok(())
    }

    /// Writes all that waits.
    async fn end(mut self) -> Result<Partial> {
        self.rest().await?;
        self.write();
        self.rest().await?;
        match self.hand {
            Hand::Resting(partial) => Ok(partial),
            Hand::Writing(_) | Hand::Gone => Err(Error::internal("an upload after its end")),
        }
    }
}
