//! Programs that the server starts.
//!
//! Each is started by a *launcher*, which is the server's own binary in a process of its own ([`launch`]). It becomes
//! whom the program is to run as, starts it, and stays between it and the server: whatever the program starts stays
//! below the launcher, also what leaves its process group or session, and where the server's cgroup is delegated it is in
//! a cgroup of its own besides. When the server has gone, by whatever cause, the launcher ends it all. [`Launched`] is the
//! server's side, and [`Attended`] the same for a thread that waits. [`Ours`] tells the server's own children from what a container's first process inherits.

mod attended;
mod cgroup;
mod children;
mod launched;
mod launcher;
mod open_files;
mod order;
mod proc;
mod remains;

pub(crate) use self::attended::is_for_now;
pub use self::{
    attended::Attended,
    cgroup::{Cgroup, Cgroups},
    children::{Ours, adopts, reap_strangers, spawn},
    launched::{Launched, Launchers, Output},
    launcher::launch,
    open_files::raise_open_files,
    order::{Identity, Order, Report, Wish, Word},
    proc::{Living, Process},
    remains::Remains,
};

/// What the launcher is called on the command line.
pub const LAUNCH: &str = "run-command";
