//! The probes that ship, by what they look at.

mod backups;
mod documents;
mod drain;
mod files;
mod log;
mod replicas;
mod store;
mod stranded;
mod tasks;

pub(super) use self::{
    backups::BackupsProbe,
    documents::DocumentsProbe,
    drain::DrainProbe,
    files::FilesProbe,
    log::LogProbe,
    replicas::ReplicasProbe,
    store::{ANSWERS_WITHIN, StoreProbe},
    tasks::TasksProbe,
};
