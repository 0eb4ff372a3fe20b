//! Contents on the wire: uploads, and downloads.

use tonic::{Request, Status, Streaming};

use super::{Api, Feed, Reply};
use crate::pb;

impl Api {
    pub(super) async fn answer_get_upload(
        &self,
        _: pb::GetUploadRequest,
    ) -> Reply<pb::GetUploadResponse> {
        Err(Status::unimplemented("not yet"))
    }

    pub(super) async fn answer_upload(
        &self,
        _: Request<Streaming<pb::UploadContentRequest>>,
    ) -> Reply<pb::UploadContentResponse> {
        Err(Status::unimplemented("not yet"))
    }

    pub(super) async fn answer_download(
        &self,
        _: Request<pb::DownloadContentRequest>,
    ) -> Reply<Feed<pb::DownloadContentResponse>> {
        Err(Status::unimplemented("not yet"))
    }
}
