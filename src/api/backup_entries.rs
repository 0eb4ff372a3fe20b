//! What `BackupService` does with what is in a restore point: lists it, and reads single files.

use async_stream::try_stream;
use tonic::{Request, Response, Status};

use super::{Api, Feed, Reply, backup_names, convert, deadline, page, status};
use crate::{
    domain::backup::manifest::SnapshotPath,
    error::{Error, Result},
    pb::{self, read_restore_point_file_response::Message as Sent},
};

impl Api {
    pub(super) async fn answer_list_entries(
        &self,
        request: pb::ListRestorePointEntriesRequest,
    ) -> Reply<pb::ListRestorePointEntriesResponse> {
        let size = page::default_size(request.page_size)?;
        let point = self
            .point_named(backup_names::point("name", &request.name)?)
            .await?;
        let path = read_path(&request.path)?;
        let name = point.resource_name();
        let scope = page::scope(&["ListRestorePointEntries", &name, &path.to_text()]);
        let wrong = || page::damaged();
        let after = match page::key(&scope, &request.page_token)? {
            Some(key) => Some(SnapshotPath::from_text(&key).ok_or_else(wrong)?.0),
            None => None,
        };
        // One more than is shown says whether there is another page.
        let most = usize::try_from(size).unwrap_or(usize::MAX);
        let found = self
            .backups
            .entries_in(&point, path, after, most.saturating_add(1));
        let found = found.await?;
        let mut entries: Vec<_> = found
            .iter()
            .take(most)
            .map(convert::restore_point_entry)
            .collect();
        let kept = page::fit(&entries);
        entries.truncate(kept);
        let last = found.get(kept.saturating_sub(1));
        let token = last.filter(|_| kept < found.len()).map(|last| {
            let bytes = last.path.as_bytes();
            let name = bytes.rsplit(|byte| *byte == b'/').next().unwrap_or(bytes);
            page::token(&scope, &SnapshotPath(name.to_vec()).to_text())
        });
        Ok(Response::new(pb::ListRestorePointEntriesResponse {
            entries,
            next_page_token: token.unwrap_or_default(),
        }))
    }

    pub(super) async fn answer_read_file(
        &self,
        request: Request<pb::ReadRestorePointFileRequest>,
    ) -> Reply<Feed<pb::ReadRestorePointFileResponse>> {
        let listens = deadline::for_stream(request.metadata().as_ref());
        let request = request.into_inner();
        let point = self
            .point_named(backup_names::point("name", &request.name)?)
            .await?;
        let read = self.backups.read_entry(&point, read_path(&request.path)?);
        let mut read = read.await?;
        let stop = self.stop.clone();
        let message = |message| pb::ReadRestorePointFileResponse {
            message: Some(message),
        };
        Ok(Response::new(Box::pin(try_stream! {
            yield message(Sent::Entry(convert::restore_point_entry(&read.entry)));
            let mut over = std::pin::pin!(tokio::time::sleep(listens));
            loop {
                let piece = tokio::select! {
                    piece = read.pieces.recv() => piece.transpose().map_err(Status::from),
                    () = &mut over => Err(status::download_over(listens)),
                    () = stop.cancelled() => Err(draining().into()),
                };
                let Some(piece) = piece? else { return };
                yield message(Sent::Data(piece));
            }
        })))
    }
}

fn read_path(given: &str) -> Result<SnapshotPath> {
    let wrong = || {
        let what =
            format!("{given:?} given; expected a path in the restore point, such as /sources");
        Error::invalid("path", what)
    };
    let path = SnapshotPath::from_text(given).ok_or_else(wrong)?;
    if !given.is_empty() && !given.starts_with('/') {
        return Err(wrong());
    }
    let end = path.0.iter().rposition(|byte| *byte != b'/');
    Ok(SnapshotPath(
        path.0[..end.map_or(0, |end| end + 1)].to_vec(),
    ))
}

fn draining() -> Error {
    Error::unavailable(
        "the server",
        "it is draining: begin anew, on another or later",
    )
}
