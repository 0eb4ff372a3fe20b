//! Callers by the thousand that say nothing, or nothing after a greeting, and come back when they are closed.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use watchbell::clock::Stopwatch;

use super::{
    arena::Arena,
    form::Form,
    pace::{pass, soon},
    workload::{Load, answered},
};
use crate::support::{Database, on_both};

on_both!(callers_that_say_nothing_keep_nobody_waiting);

const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const OPENED_WITHIN: Duration = Duration::from_secs(60);
/// Of those that were closed, so many come back at once, and then not for a while.
const BACK_AT_ONCE: usize = 20;
const BACK_AFTER: Duration = Duration::from_millis(100);

async fn callers_that_say_nothing_keep_nobody_waiting(database: Database) {
    let form = Form::now();
    let load = Load::storm(form);
    let mut arena = Arena::new("silent", database.into(), "15s", load).await;
    if form == Form::Short {
        let bound = ("WATCHBELL_MAX_CONNECTIONS".to_owned(), "200".to_owned());
        arena.environment.push(bound);
    }
    arena.start_all(1).await;
    let crowd = Crowd::of(arena.replicas[0].address, form.pick(600, 10_000));
    soon("all of them to come", OPENED_WITHIN, async || {
        crowd.has_come().then_some(())
    })
    .await;
    arena.figures.blows += 1;
    // Nothing else is asked of the server yet.
    let (watch, before) = (Stopwatch::start(), arena.replicas[0].used());
    pass(form.pick(Duration::from_secs(2), Duration::from_secs(10))).await;
    let used = arena.replicas[0].used().saturating_sub(before);
    let share = used.as_secs_f64() / watch.elapsed().as_secs_f64();
    arena.figures.processor.push(share);

    arena.begin().await;
    for number in 0..form.pick(5_u128, 50) {
        // Each on a connection of its own, as a command is.
        let client = arena.client_of(arena.replicas[0].address);
        let watch = Stopwatch::start();
        let id = uuid::Uuid::from_u128(number + 1).to_string();
        let answer = answered(&client, &id).await;
        let took = watch.elapsed().as_secs_f64();
        arena.figures.answered_in_crowd_s.push(took);
        match answer {
            Ok(_) => arena.figures.calls.answered += 1,
            // That the run before is still under way is an answer as well.
            Err(status) => assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status:?}"),
        }
        pass(BACK_AFTER).await;
    }
    drop(crowd);
    // Alone, and beside as many once more.
    let alone = arena.longest_call().await;
    let crowd = Crowd::of(arena.replicas[0].address, form.pick(600, 10_000));
    soon("all of them to come again", OPENED_WITHIN, async || {
        crowd.has_come().then_some(())
    })
    .await;
    arena.figures.blows += 1;
    arena.nobody_waits(alone).await;
    drop(crowd);
    arena.settle().await;
}

/// Connections of which nothing is asked. Dropped, they end.
#[derive(Debug)]
struct Crowd {
    count: usize,
    opened: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    keeps: Option<JoinHandle<()>>,
}

impl Crowd {
    /// So many: half greet, half say nothing at all.
    fn of(address: SocketAddr, count: usize) -> Self {
        let (opened, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (come, end) = (opened.clone(), over.clone());
        let keeps = thread::spawn(move || {
            let mut callers: Vec<Option<TcpStream>> = Vec::new();
            while !end.load(Ordering::Relaxed) {
                if callers.len() < count {
                    callers.push(open(address, callers.len()));
                    come.store(callers.len(), Ordering::Relaxed);
                    continue;
                }
                let mut back = 0;
                for (number, caller) in callers.iter_mut().enumerate() {
                    if back < BACK_AT_ONCE && !caller.as_mut().is_some_and(is_open) {
                        *caller = open(address, number);
                        back += 1;
                    }
                }
                thread::park_timeout(BACK_AFTER);
            }
        });
        Self {
            count,
            opened,
            over,
            keeps: Some(keeps),
        }
    }

    fn has_come(&self) -> bool {
        self.count <= self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.keeps.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// None where it is turned away.
fn open(address: SocketAddr, number: usize) -> Option<TcpStream> {
    let mut caller = TcpStream::connect(address).ok()?;
    caller.set_nonblocking(true).ok()?;
    if number.is_multiple_of(2) {
        caller.write_all(GREETING).ok()?;
    }
    Some(caller)
}

/// Whether the server has not closed it.
fn is_open(caller: &mut TcpStream) -> bool {
    let mut heard = [0; 256];
    loop {
        match caller.read(&mut heard) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
