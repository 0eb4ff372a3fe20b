//! What every request meets before its service: whether its connection has room for it. What is no call of gRPC hears so.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{
    Status,
    body::Body,
    codegen::{Body as HttpBody, Bytes, Service, StdError, http},
    service::Routes,
};

use super::status;
use crate::{
    door::{Aging, Call, Kind},
    error::{Error, Result},
    pb::DESCRIPTORS,
};

/// Services of others that anyone may call, and that know nothing of a connection's age.
const OPEN: &str = "/grpc.";
const NOT_GRPC: &str = "Watchbell speaks gRPC, which is HTTP/2: use bellctl, or any client of gRPC (without TLS: h2c with \
                        prior knowledge).\n";

/// All services, behind the bounds of a connection.
#[derive(Clone, Debug)]
pub struct Front {
    routes: Routes,
    /// What methods are that are not answered soon, by their paths.
    lasting: Arc<HashMap<String, Kind>>,
}

impl Front {
    pub(super) fn new(routes: Routes) -> Result<Self> {
        let mut lasting = HashMap::new();
        for descriptors in [
            DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            let set = FileDescriptorSet::decode(descriptors).map_err(Error::internal)?;
            for file in &set.file {
                for service in &file.service {
                    for method in &service.method {
                        let streams = method.client_streaming() || method.server_streaming();
                        let path =
                            format!("/{}.{}/{}", file.package(), service.name(), method.name());
                        if let Some(kind) = lasting_kind(&path, method.name(), streams) {
                            lasting.insert(path, kind);
                        }
                    }
                }
            }
        }
        Ok(Self {
            routes: routes.prepare(),
            lasting: Arc::new(lasting),
        })
    }

    fn kind(&self, path: &str) -> Kind {
        self.lasting.get(path).copied().unwrap_or(Kind::Short)
    }
}

/// What a method is that is not answered soon; none of one that is.
fn lasting_kind(path: &str, name: &str, streams: bool) -> Option<Kind> {
    let watches = name.starts_with("Watch") || name == "TailRunLog" || path.starts_with(OPEN);
    match (streams, watches) {
        (true, true) => Some(Kind::Watch),
        (true, false) => Some(Kind::Transfer),
        (false, _) => (name == "WaitRun").then_some(Kind::Transfer),
    }
}

impl<B> Service<http::Request<B>> for Front
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, std::result::Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<std::result::Result<(), Infallible>> {
        Service::<http::Request<B>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        if request.version() < http::Version::HTTP_2 {
            return Box::pin(async { Ok(not_grpc()) });
        }
        let path = request.uri().path();
        let kind = self.kind(path);
        let call = request.extensions().get::<Call>().cloned();
        if let Some(Err(bound)) = call.as_ref().map(|call| call.count_as(kind)) {
            return Box::pin(async move { Ok(status::too_many_calls(kind, bound).into_http()) });
        }
        let call = call.filter(|_| kind == Kind::Watch && path.starts_with(OPEN));
        let answer = self.routes.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(match call {
                None => answer,
                Some(call) => answer.map(|body| Body::new(Aging::new(body, &call, aged()))),
            })
        })
    }
}

fn not_grpc() -> http::Response<Body> {
    let mut answer = http::Response::new(Body::new(NOT_GRPC.to_owned()));
    *answer.status_mut() = http::StatusCode::HTTP_VERSION_NOT_SUPPORTED;
    let headers = answer.headers_mut();
    let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(http::header::CONTENT_TYPE, text);
    let close = http::HeaderValue::from_static("close");
    headers.insert(http::header::CONNECTION, close);
    answer
}

/// How a stream ends whose connection has reached its age.
fn aged() -> http::HeaderMap {
    let status = Status::unavailable("the connection has reached its age: ask again");
    status.into_http::<()>().into_parts().0.headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_waits_are_known_by_what_they_are() {
        let front = Front::new(Routes::default()).unwrap();
        for (method, kind) in [
            ("/watchbell.v1.RunService/WatchRuns", Kind::Watch),
            ("/watchbell.v1.RunService/TailRunLog", Kind::Watch),
            ("/watchbell.v1.SchedulerService/WatchStatus", Kind::Watch),
            ("/watchbell.v1.DocumentService/WatchDocuments", Kind::Watch),
            ("/watchbell.v1.BackupService/WatchBackup", Kind::Watch),
            ("/grpc.health.v1.Health/Watch", Kind::Watch),
            ("/watchbell.v1.RunService/WaitRun", Kind::Transfer),
            (
                "/watchbell.v1.DocumentService/UploadContent",
                Kind::Transfer,
            ),
            (
                "/watchbell.v1.DocumentService/DownloadContent",
                Kind::Transfer,
            ),
            (
                "/watchbell.v1.DocumentService/ImportDocuments",
                Kind::Transfer,
            ),
            (
                "/watchbell.v1.DocumentService/ExportDocuments",
                Kind::Transfer,
            ),
            (
                "/watchbell.v1.BackupService/ReadRestorePointFile",
                Kind::Transfer,
            ),
            ("/watchbell.v1.RunService/GetRun", Kind::Short),
            ("/grpc.health.v1.Health/Check", Kind::Short),
            ("/nonsense", Kind::Short),
        ] {
            assert_eq!(front.kind(method), kind, "{method}");
        }
        // What is new and a stream has a place in this list.
        assert_eq!(front.lasting.len(), 14, "{:?}", front.lasting.keys());
    }
}
