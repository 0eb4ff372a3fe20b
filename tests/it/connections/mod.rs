//! The door: who comes in, who has to go for it, and what a connection may ask at once.

mod aged;
mod asked;
mod crowded;
pub(crate) mod raw;
mod silent;

use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use watchbell_client::client::Client;

use crate::support::{Server, Site};

/// A connection of its own, with the token at hand.
async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    endpoint.connect().await.unwrap()
}

/// Another client of the server, with a connection of its own.
async fn another(site: &Site, server: &Server) -> Client {
    let endpoint = format!("http://{}", server.address);
    Client::connect(&endpoint, &token(site)).await.unwrap()
}

fn token(site: &Site) -> String {
    std::fs::read_to_string(site.data().join("token")).unwrap()
}

/// With the token.
fn shown<T>(site: &Site, message: T) -> Request<T> {
    with_token(&token(site), message)
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", token.trim());
    let metadata = request.metadata_mut();
    metadata.insert("authorization", bearer.parse().unwrap());
    request
}
