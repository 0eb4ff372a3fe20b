//! A connection and its calls, as those see it who answer.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::{Bounds, Peer, crowd::Crowd};

/// What a call is to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is answered soon.
    Short,
    /// It goes on for as long as its caller likes, and ends by itself once the connection has reached its age.
    Watch,
    /// It takes as long as it takes: a wait, or a transfer.
    Transfer,
}

/// A call under way. It travels with the request.
#[derive(Clone)]
pub struct Call(Arc<Inner>);

struct Inner {
    connection: Arc<Connection>,
    /// Number of its kind; none before it was counted.
    counted: AtomicU8,
}

/// What is known of a connection.
pub(super) struct Connection {
    id: u64,
    peer: Peer,
    crowd: Arc<Crowd>,
    bounds: Arc<Bounds>,
    /// It has to go, for others.
    pub(super) leave: CancellationToken,
    /// It has reached its age.
    pub(super) aged: CancellationToken,
    begun: AtomicBool,
    calls: AtomicUsize,
    kinds: [AtomicUsize; 3],
}

const NOT_COUNTED: u8 = u8::MAX;

impl Call {
    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.0.connection.peer
    }

    /// Cancelled once the connection has reached its age.
    pub fn aged(&self) -> &CancellationToken {
        &self.0.connection.aged
    }

    /// Counts it as what it is, once.
    ///
    /// # Errors
    /// The bound, where as many calls of this kind are under way on its connection.
    pub fn count_as(&self, kind: Kind) -> Result<(), usize> {
        let of = &self.0.connection;
        let bound = match kind {
            Kind::Short => of.bounds.calls,
            Kind::Watch | Kind::Transfer => of.bounds.lasting,
        };
        // Watches and transfers are bounded together.
        let others = match kind {
            Kind::Short => 0,
            Kind::Watch => of.count(Kind::Transfer),
            Kind::Transfer => of.count(Kind::Watch),
        };
        let room = |count: usize| (count + others < bound).then_some(count + 1);
        let counted =
            of.kinds[kind as usize].fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        counted.map_err(|_| bound)?;
        self.0.counted.store(kind as u8, Ordering::SeqCst);
        Ok(())
    }

    pub(super) fn begin(connection: &Arc<Connection>) -> Self {
        connection.crowd.begin(connection.id, &connection.calls);
        Self(Arc::new(Inner {
            connection: connection.clone(),
            counted: AtomicU8::new(NOT_COUNTED),
        }))
    }

    /// Ends it: once, by whoever holds its answer.
    pub(super) fn end(&self) {
        let of = &self.0.connection;
        let counted = usize::from(self.0.counted.swap(NOT_COUNTED, Ordering::SeqCst));
        if let Some(kind) = of.kinds.get(counted) {
            kind.fetch_sub(1, Ordering::SeqCst);
        }
        of.crowd.end(of.id, &of.calls);
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.peer()).finish()
    }
}

impl Connection {
    /// The connection that `crowd` has let in under this number.
    pub(super) fn new(
        id: u64,
        peer: Peer,
        leave: CancellationToken,
        crowd: Arc<Crowd>,
        bounds: Arc<Bounds>,
    ) -> Self {
        Self {
            id,
            peer,
            crowd,
            bounds,
            leave,
            aged: CancellationToken::new(),
            begun: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            kinds: Default::default(),
        }
    }

    /// Notes that its first words were HTTP.
    pub(super) fn has_begun(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    /// Whether its first words were HTTP.
    pub(super) fn is_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Whether no call is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.load(Ordering::SeqCst) == 0
    }

    /// Whether nothing is under way but what should have ended at its age.
    pub(super) fn only_watches(&self) -> bool {
        self.calls.load(Ordering::SeqCst) <= self.count(Kind::Watch)
    }

    fn count(&self, kind: Kind) -> usize {
        self.kinds[kind as usize].load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
