//! Registers on the wire: imports, and exports.

use tonic::{Request, Status, Streaming};

use super::{Api, Feed, Reply};
use crate::pb;

impl Api {
    pub(super) async fn answer_import(
        &self,
        _: Request<Streaming<pb::ImportDocumentsRequest>>,
    ) -> Reply<Feed<pb::ImportDocumentsResponse>> {
        Err(Status::unimplemented("not yet"))
    }

    pub(super) async fn answer_export(
        &self,
        _: Request<pb::ExportDocumentsRequest>,
    ) -> Reply<Feed<pb::ExportDocumentsResponse>> {
        Err(Status::unimplemented("not yet"))
    }
}
