//! A replica is cut off from the database while another is not: its runs are taken over, what its handlers
//! still write is refused, and it comes back by itself.

use std::time::Duration;

use watchbell_client::call::request_id;

use super::{
    arena::Arena,
    form::{Form, at_length_only},
    pace::soon,
    workload::{Load, trigger},
};
use crate::support::{Database, Proxy, on_postgresql};

on_postgresql!(
    a_replica_whose_wire_stalls_comes_back_when_it_is_mended,
    a_replica_whose_wire_is_cut_comes_back_when_it_is_mended,
    a_replica_whose_connections_fall_silent_for_good_makes_new_ones,
);

/// How a wire is mended.
#[derive(Clone, Copy, Debug)]
enum Mended {
    Wholly,
    /// What was connected stays silent.
    ForNewConnections,
}

async fn a_replica_whose_wire_stalls_comes_back_when_it_is_mended(database: Database) {
    story("wire stalls", database, Proxy::stall, Mended::Wholly).await;
}

async fn a_replica_whose_wire_is_cut_comes_back_when_it_is_mended(database: Database) {
    story("wire cut", database, Proxy::cut, Mended::Wholly).await;
}

async fn a_replica_whose_connections_fall_silent_for_good_makes_new_ones(database: Database) {
    if at_length_only("connections that fall silent for good") {
        return;
    }
    let mended = Mended::ForNewConnections;
    story("wire silent for good", database, Proxy::stall, mended).await;
}

async fn story(name: &'static str, database: Database, strike: fn(&Proxy), mended: Mended) {
    let form = Form::now();
    let wire = Proxy::to(&database.url()).await;
    let far = wire.url(&database.url());
    let mut arena = Arena::new(
        name,
        database.into(),
        form.pick("3s", "15s"),
        Load::storm(form),
    )
    .await;
    arena.start_on(&far).await;
    arena.start().await;
    arena.begin().await;
    for _ in 0..form.pick(1, 3) {
        arena
            .blow_for(form.pick(Duration::from_secs(1), Duration::from_secs(4)))
            .await;
        let replica = arena.replicas.remove(0);
        arena.under_way(&replica).await;
        strike(&wire);
        let struck_at = arena.now();
        arena.figures.blows += 1;
        arena.lead_past(replica.address);
        let held = arena.tokens.held_by(replica.id());
        arena.others_go_on(&held, struck_at).await;

        match mended {
            Mended::Wholly => wire.mend(),
            Mended::ForNewConnections => wire.mend_for_new_connections(),
        }
        let client = arena.client_of(replica.address);
        let id = request_id();
        let answered = soon(
            "the replica to serve again",
            Duration::from_secs(60),
            async || trigger(&client, &id).await.ok(),
        );
        let (_, took) = answered.await;
        arena.figures.calls.answered += 1;
        arena.figures.replica_back_s.push(took.as_secs_f64());
        arena.replicas.insert(0, replica);
        arena.lead_to_all();
        arena.decides("deciding to go on").await;
    }
    arena.settle().await;
}
