//! Problems: found by probes, told where something has changed, and how old what is shown may be.

mod audited;
mod events;
mod loops;
mod probing;
mod replicas;
mod stalled;
mod store;
