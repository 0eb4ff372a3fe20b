//! The schema's history. Never edit a step that has been released: add one.

mod m0001_first;
mod m0002_indexes;

use sea_orm_migration::{MigrationTrait, MigratorTrait, async_trait};

#[derive(Debug)]
pub(super) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::Migration),
            Box::new(m0002_indexes::Migration),
        ]
    }
}
