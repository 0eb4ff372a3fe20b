//! All connections: who may come in, and who goes for it.
//!
//! Where it is full, the oldest idle connection of the origin that has most of them goes. One with calls under way stays.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Peer;

/// Every connection there is.
#[derive(Debug)]
pub(super) struct Crowd {
    most: usize,
    state: Mutex<State>,
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Connections by their numbers; those that have to go are not among them any more.
    places: HashMap<u64, Place>,
    idle: Idle,
    /// Those that have to go and have not gone yet.
    leaving: usize,
    last: u64,
}

#[derive(Debug)]
struct Place {
    origin: IpAddr,
    calls: usize,
    /// The moment at which it became idle, where it is.
    since: u64,
    leave: CancellationToken,
}

/// A connection's place among all. Dropped, it is free for another.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: u64,
    /// Cancelled where it has to go for another.
    pub(super) leave: CancellationToken,
    /// Whether another had to go for it.
    pub(super) for_another: bool,
    crowd: Arc<Crowd>,
}

impl Crowd {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            state: Mutex::default(),
            left: Notify::new(),
        }
    }

    /// A place for a connection, at the cost of an idle one where it is full; none where no connection is idle.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Option<Seat> {
        let mut state = self.state();
        let for_another = self.most <= state.places.len();
        if for_another && !state.send_away() {
            return None;
        }
        let (id, origin) = (state.next(), peer.origin());
        let leave = CancellationToken::new();
        let place = Place {
            origin,
            calls: 0,
            since: id,
            leave: leave.clone(),
        };
        state.idle.add(origin, id, id);
        state.places.insert(id, place);
        Some(Seat {
            id,
            leave,
            for_another,
            crowd: self.clone(),
        })
    }

    /// Sends an idle one away, for the sake of its file; says whether there was one.
    pub(super) fn make_room(&self) -> bool {
        self.state().send_away()
    }

    /// A call begins.
    pub(super) fn begin(&self, id: u64, calls: &AtomicUsize) {
        let mut state = self.state();
        calls.fetch_add(1, Ordering::SeqCst);
        let State { places, idle, .. } = &mut *state;
        if let Some(place) = places.get_mut(&id) {
            if place.calls == 0 {
                idle.remove(place.origin, place.since);
            }
            place.calls += 1;
        }
    }

    /// A call has ended.
    pub(super) fn end(&self, id: u64, calls: &AtomicUsize) {
        let mut state = self.state();
        calls.fetch_sub(1, Ordering::SeqCst);
        let since = state.next();
        let State { places, idle, .. } = &mut *state;
        if let Some(place) = places.get_mut(&id) {
            place.calls = place.calls.saturating_sub(1);
            if place.calls == 0 {
                place.since = since;
                idle.add(place.origin, since, id);
            }
        }
    }

    /// Connections that have to go and have not gone yet.
    pub(super) fn leaving(&self) -> usize {
        self.state().leaving
    }

    /// Completes when a connection has gone; may do so once without cause.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    /// Connections, and those of them that are idle.
    pub(super) fn count(&self) -> (usize, usize) {
        let state = self.state();
        (state.places.len() + state.leaving, state.idle.count)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A number for what happens next.
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn send_away(&mut self) -> bool {
        let Some(id) = self.idle.take() else {
            return false;
        };
        if let Some(place) = self.places.remove(&id) {
            self.leaving += 1;
            place.leave.cancel();
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.crowd.state();
        match state.places.remove(&self.id) {
            Some(place) if place.calls == 0 => state.idle.remove(place.origin, place.since),
            Some(_) => {}
            None => state.leaving = state.leaving.saturating_sub(1),
        }
        drop(state);
        self.crowd.left.notify_one();
    }
}

/// Idle connections: of each origin the oldest first, and the origins by how many they have.
#[derive(Debug, Default)]
struct Idle {
    /// Moment and number of each.
    of: HashMap<IpAddr, BTreeMap<u64, u64>>,
    /// The last has most; of those with as many, the one whose oldest is older.
    ranks: BTreeSet<(usize, Reverse<u64>, IpAddr)>,
    count: usize,
}

impl Idle {
    fn add(&mut self, origin: IpAddr, since: u64, id: u64) {
        self.change(origin, |idle| idle.insert(since, id));
    }

    fn remove(&mut self, origin: IpAddr, since: u64) {
        self.change(origin, |idle| idle.remove(&since));
    }

    /// Takes out the one that goes first.
    fn take(&mut self) -> Option<u64> {
        let (_, Reverse(since), origin) = self.ranks.last().copied()?;
        self.change(origin, |idle| idle.remove(&since))
    }

    fn change<T>(&mut self, origin: IpAddr, by: impl FnOnce(&mut BTreeMap<u64, u64>) -> T) -> T {
        let idle = self.of.entry(origin).or_default();
        if let Some((oldest, _)) = idle.first_key_value() {
            self.ranks.remove(&(idle.len(), Reverse(*oldest), origin));
        }
        self.count -= idle.len();
        let done = by(idle);
        self.count += idle.len();
        match idle.first_key_value() {
            Some((oldest, _)) => {
                self.ranks.insert((idle.len(), Reverse(*oldest), origin));
            }
            None => {
                self.of.remove(&origin);
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> Peer {
        let address = (std::net::Ipv4Addr::new(192, 0, 2, last), 1000).into();
        Peer { address }
    }

    fn went(seats: &[Seat]) -> Vec<usize> {
        let went = |index: &usize| seats[*index].leave.is_cancelled();
        (0..seats.len()).filter(went).collect()
    }

    #[test]
    fn the_oldest_idle_one_of_whom_has_most_goes_first() {
        let crowd = Arc::new(Crowd::new(5));
        let mut seats: Vec<Seat> = [1, 2, 2, 2, 3]
            .into_iter()
            .map(|last| crowd.admit(peer(last)).unwrap())
            .collect();
        assert!(went(&seats).is_empty());
        let calls = AtomicUsize::new(0);
        // The oldest of the second is busy, and later idle again: now it is their newest.
        crowd.begin(seats[1].id, &calls);
        seats.push(crowd.admit(peer(3)).unwrap());
        assert_eq!(went(&seats), [2]);
        crowd.end(seats[1].id, &calls);
        // Two of the second and two of the third: the second's is older.
        seats.push(crowd.admit(peer(3)).unwrap());
        assert_eq!(went(&seats), [2, 3]);
        seats.push(crowd.admit(peer(1)).unwrap());
        assert_eq!(went(&seats), [2, 3, 4]);
        assert_eq!(crowd.count(), (8, 5));
        assert_eq!(crowd.leaving(), 3);
        seats.clear();
        assert_eq!((crowd.count(), crowd.leaving()), ((0, 0), 0));
        assert!(crowd.state().idle.ranks.is_empty() && crowd.state().idle.of.is_empty());
    }

    #[test]
    fn one_with_a_call_under_way_never_goes() {
        let crowd = Arc::new(Crowd::new(2));
        let seats = [1, 2].map(|last| crowd.admit(peer(last)).unwrap());
        let calls = [AtomicUsize::new(0), AtomicUsize::new(0)];
        crowd.begin(seats[0].id, &calls[0]);
        crowd.begin(seats[1].id, &calls[1]);
        crowd.begin(seats[1].id, &calls[1]);
        crowd.end(seats[1].id, &calls[1]);
        assert!(crowd.admit(peer(3)).is_none() && !crowd.make_room());
        assert!(went(&seats).is_empty());
        crowd.end(seats[1].id, &calls[1]);
        let third = crowd.admit(peer(3)).unwrap();
        assert!(third.for_another && seats[1].leave.is_cancelled());
        // A call of one that has to go counts on it alone.
        crowd.begin(seats[1].id, &calls[1]);
        assert_eq!(calls[1].load(Ordering::SeqCst), 1);
        crowd.end(seats[1].id, &calls[1]);
        assert_eq!(crowd.count(), (3, 1));
    }
}
