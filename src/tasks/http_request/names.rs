//! Addresses of hosts by their names: asked off the runtime's threads, where a resolver that is away holds up nothing else.

use std::{io, net::ToSocketAddrs as _, time::Duration};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::host::{self, Question};

/// A request's own timeout is mostly shorter.
const RESOLVED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let place = format!("the name {name}");
            let question = Question::of(place, format!("resolving {name}")).within(RESOLVED_WITHIN);
            let found = host::ask(question, move || {
                // The port is put in its place by whoever connects.
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok::<_, io::Error>(found.collect::<Vec<_>>())
            });
            let addresses: Addrs = Box::new(found.await??.into_iter());
            Ok(addresses)
        })
    }
}
