//! Backups: policies, restore points, evidence, coverage of reads, leases of repositories, plans of restores.

mod elsewhere;
mod evidence;
mod facts;
mod given;
mod jobs;
mod leases;
mod plans;
mod points;
mod policies;
mod restored;

use sea_orm::FromQueryResult;

pub use self::{
    elsewhere::{Elsewhere, Frozen},
    facts::{DumpFacts, Orphans},
    leases::{LeaseMode, Leased},
    points::{PointFilter, PointPlace},
};

/// A row of which only the body is read.
#[derive(FromQueryResult)]
struct Body {
    body: String,
}
