//! SIGTERM in the storm: what is under way ends or is given back, and is never lost.

use std::time::Duration;

use super::{arena::Arena, form::Form, workload::Load};
use crate::support::{Database, on_both};

on_both!(a_server_that_is_stopped_in_order_hands_on_what_it_has);

async fn a_server_that_is_stopped_in_order_hands_on_what_it_has(database: Database) {
    let form = Form::now();
    let with_another = database.is_postgresql();
    let mut arena = Arena::new("terminated", database.into(), "15s", Load::storm(form)).await;
    arena.start_all(1 + usize::from(with_another)).await;
    arena.begin().await;
    for _ in 0..form.pick(1, 6) {
        arena
            .blow_for(form.pick(Duration::from_secs(1), Duration::from_secs(4)))
            .await;
        let replica = arena.replicas.remove(0);
        arena.under_way(&replica).await;
        // It leads nobody away: who still comes is told to go elsewhere.
        let took = replica.stop().await;
        arena.figures.blows += 1;
        arena.figures.stopped_s.push(took.as_secs_f64());
        arena.start().await;
    }
    assert_eq!(arena.leases_lost().await, 0, "who stops gives back");
    arena.settle().await;
}
