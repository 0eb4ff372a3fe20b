//! Backups: policies, restore points, evidence, coverage of reads, leases of repositories, plans of restores.

mod evidence;
mod leases;
mod plans;
mod points;
mod policies;

use sea_orm::FromQueryResult;

pub use self::{
    leases::{LeaseMode, Leased},
    points::{PointFilter, PointPlace},
};

/// A row of which only the body is read.
#[derive(FromQueryResult)]
struct Body {
    body: String,
}
