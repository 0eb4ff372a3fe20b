//! The channel to a server, which carries the token, and the typed stubs over it.

use std::time::Duration;

use tonic::{
    Request, Status,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::pb::{
    backup_service_client::BackupServiceClient, document_service_client::DocumentServiceClient,
    run_service_client::RunServiceClient, scheduler_service_client::SchedulerServiceClient,
    task_service_client::TaskServiceClient,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes under way on one stream, and on all of a connection. The 64 KiB of HTTP/2 make a download wait for
/// its acknowledgements.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The largest message about documents: 4 MiB of payload, and what frames it.
const LARGEST_DOCUMENTS_MESSAGE: usize = 4 * 1024 * 1024 + 64 * 1024;

/// A channel that adds the token to each call.
pub type AuthorizedChannel = InterceptedService<Channel, Bearer>;

/// A connection to a Watchbell server. Cheap to clone; it reconnects by itself.
#[derive(Clone, Debug)]
pub struct Client {
    channel: AuthorizedChannel,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is not one: mend it.
    #[error("`{endpoint}` is not an endpoint such as http://127.0.0.1:7420")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// The scheme is not `http`, the only one there is until TLS: nothing was sent.
    #[error("`{endpoint}` does not begin with http://")]
    Scheme {
        /// As it was given.
        endpoint: String,
    },
    /// The token cannot be sent in a header: get the right one.
    #[error("the token holds characters that no token has")]
    Token,
    /// Nobody answers there: start the server, or ask another.
    #[error("cannot reach a server at {endpoint}")]
    Unreachable {
        /// As it was given.
        endpoint: String,
        /// What the operating system said.
        #[source]
        source: tonic::transport::Error,
    },
}

impl Client {
    /// Connects to `endpoint`, such as `http://127.0.0.1:7420`, with `token`.
    ///
    /// # Errors
    /// Where the endpoint or the token is malformed, or nobody answers within 5 seconds.
    pub async fn connect(endpoint: &str, token: &str) -> Result<Self, ConnectError> {
        let bearer = Bearer::new(token)?;
        let channel =
            describe(endpoint)?
                .connect()
                .await
                .map_err(|source| ConnectError::Unreachable {
                    endpoint: endpoint.to_owned(),
                    source,
                })?;
        Ok(Self::over(channel, bearer))
    }

    /// The same, but connects with the first call. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// Where the endpoint or the token is malformed.
    pub fn connect_lazily(endpoint: &str, token: &str) -> Result<Self, ConnectError> {
        let bearer = Bearer::new(token)?;
        Ok(Self::over(describe(endpoint)?.connect_lazy(), bearer))
    }

    /// Defines tasks and triggers them.
    #[must_use]
    pub fn tasks(&self) -> TaskServiceClient<AuthorizedChannel> {
        TaskServiceClient::new(self.channel.clone())
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
    }

    /// Shows runs, waits for them and stops them.
    #[must_use]
    pub fn runs(&self) -> RunServiceClient<AuthorizedChannel> {
        RunServiceClient::new(self.channel.clone())
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
    }

    /// The server itself.
    #[must_use]
    pub fn scheduler(&self) -> SchedulerServiceClient<AuthorizedChannel> {
        SchedulerServiceClient::new(self.channel.clone())
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
    }

    /// Documents and what is in them.
    #[must_use]
    pub fn documents(&self) -> DocumentServiceClient<AuthorizedChannel> {
        DocumentServiceClient::new(self.channel.clone())
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(LARGEST_DOCUMENTS_MESSAGE)
    }

    /// Backups: policies, restore points, verification, restores.
    #[must_use]
    pub fn backups(&self) -> BackupServiceClient<AuthorizedChannel> {
        BackupServiceClient::new(self.channel.clone())
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
    }

    fn over(channel: Channel, bearer: Bearer) -> Self {
        Self {
            channel: InterceptedService::new(channel, bearer),
        }
    }
}

/// Adds `authorization: Bearer …` to each call.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Marked sensitive, so that neither `Debug` nor the header table of HTTP/2 shows it.
    header: MetadataValue<Ascii>,
}

impl Bearer {
    fn new(token: &str) -> Result<Self, ConnectError> {
        let mut header: MetadataValue<Ascii> = format!("Bearer {}", token.trim())
            .parse()
            .map_err(|_| ConnectError::Token)?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.header.clone());
        Ok(request)
    }
}

fn describe(endpoint: &str) -> Result<Endpoint, ConnectError> {
    // There is no TLS yet: any other scheme would send the token in clear where that is not expected.
    if !endpoint.starts_with("http://") {
        return Err(ConnectError::Scheme {
            endpoint: endpoint.to_owned(),
        });
    }
    let described =
        Endpoint::from_shared(endpoint.to_owned()).map_err(|source| ConnectError::Endpoint {
            endpoint: endpoint.to_owned(),
            source,
        })?;
    Ok(described
        .user_agent(concat!("watchbell-client/", env!("CARGO_PKG_VERSION")))
        .map_err(|source| ConnectError::Endpoint {
            endpoint: endpoint.to_owned(),
            source,
        })?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        // A watch may be silent for long, and that is when a dead connection goes unnoticed.
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_sent_trimmed_and_never_shown() {
        let mut bearer = Bearer::new("s3cret\n").unwrap();
        let request = bearer.call(Request::new(())).unwrap();
        let sent = request.metadata().get("authorization").unwrap();
        assert_eq!(sent, "Bearer s3cret");
        assert!(!format!("{bearer:?}").contains("s3cret"));
    }

    #[test]
    fn a_token_with_control_characters_is_refused() {
        assert!(matches!(Bearer::new("a\u{7}b"), Err(ConnectError::Token)));
    }

    #[tokio::test]
    async fn an_endpoint_without_a_server_is_unreachable() {
        let connected = Client::connect("http://127.0.0.1:1", "t").await;
        assert!(matches!(connected, Err(ConnectError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn nothing_is_sent_in_clear_where_tls_is_asked_for() {
        for endpoint in ["https://127.0.0.1:1", "ftp://127.0.0.1:1", "127.0.0.1:1"] {
            let error = Client::connect(endpoint, "t").await.unwrap_err();
            assert!(matches!(error, ConnectError::Scheme { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_malformed_endpoint_is_named() {
        let error = Client::connect("http://a b", "t").await.unwrap_err();
        assert!(error.to_string().contains("http://a b"), "{error}");
    }
}
