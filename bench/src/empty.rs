//! The same tonic server as Watchbell's, with an empty reply: what GetStatus is compared with.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::http,
    server::{Grpc, NamedService, UnaryService},
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;
use watchbell_client::pb;

type Codec = ProstCodec<pb::GetStatusResponse, pb::GetStatusRequest>;

/// Serves on a free port, which it prints, until it is killed.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    tonic::transport::Server::builder()
        .concurrency_limit_per_connection(256)
        .max_concurrent_streams(Some(1024))
        .add_service(Empty)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// Answers every call with an empty message.
#[derive(Clone, Copy, Debug)]
struct Empty;

impl NamedService for Empty {
    const NAME: &'static str = "watchbell.v1.SchedulerService";
}

impl tonic::codegen::Service<http::Request<Body>> for Empty {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(Codec::default());
            Ok(grpc.unary(Nothing, request).await)
        })
    }
}

struct Nothing;

impl UnaryService<pb::GetStatusRequest> for Nothing {
    type Response = pb::GetStatusResponse;
    type Future = Ready<Result<Response<pb::GetStatusResponse>, Status>>;

    fn call(&mut self, _: Request<pb::GetStatusRequest>) -> Self::Future {
        ready(Ok(Response::new(pb::GetStatusResponse::default())))
    }
}
