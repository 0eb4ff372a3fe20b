//! The door: takes connections, keeps them within bounds, and lets each go in its time. What is asked on them is somebody
//! else's: a service is handed in.
//!
//! `accepting` is the loop, `crowd` says who may come in and who has to go for it, `course` is the life of one connection:
//! 5 s to its first words, then as long as it likes, at its age with notice; `wire` sees those first words, `answering`
//! which calls are under way. A [`Call`] travels with each request and says who is at the other end ([`Peer`]).
//! Another way in, such as TLS or a socket of this host, is a step of `course` before HTTP, and a field of [`Peer`].

mod accepting;
mod aging;
mod answering;
mod bounds;
mod call;
mod course;
mod crowd;
mod figures;
mod peer;
mod wire;

use std::sync::Arc;

pub use self::{
    accepting::listen,
    aging::Aging,
    bounds::{Bounds, room_for},
    call::{Call, Kind},
    figures::Figures,
    peer::Peer,
};
use self::{crowd::Crowd, figures::Tally};

/// The room's handle; cheap to clone. All ways in share its bounds.
#[derive(Clone, Debug)]
pub struct Door {
    bounds: Arc<Bounds>,
    crowd: Arc<Crowd>,
    tally: Arc<Tally>,
}

impl Door {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            crowd: Arc::new(Crowd::new(bounds.connections)),
            bounds: Arc::new(bounds),
            tally: Arc::default(),
        }
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// What has come to pass so far.
    pub fn figures(&self) -> Figures {
        let (open, idle) = self.crowd.count();
        self.tally.figures(open, idle, self.bounds.connections)
    }

    /// Completes when callers were turned away, or connections thrown out, since the last time that it did.
    pub async fn troubled(&self) {
        self.tally.troubled().await;
    }
}
