//! Chaos: the real server processes, ill-treated while tasks fire every second.
//!
//! Each story makes an [`arena`]: a database, replicas, some hundred tasks of every policy, a caller who
//! triggers one of them, and clients that watch. It strikes, lets the storm blow, and settles: then the
//! [`verdict`] holds the tables, the file that handlers write into and what the watchers saw against each
//! other. No slot may be missing from the ledger or be in it twice; every run must have ended, by the table
//! of states; no handler may have written while a later attempt of its run had begun; each watcher must have
//! seen every event once, in order; and there must be as many runs by hand as calls were answered.
//!
//! In `make test` the stories are short. `make chaos` tells them at length, one after the other, and keeps
//! what it measured beside what Cargo builds, in `chaos.json` and `chaos.txt`.

mod arena;
mod beside;
mod checked;
mod door;
mod faketime;
mod figures;
mod form;
mod look;
mod pace;
mod postgres;
mod replica;
mod report;
mod settle;
mod tokens;
mod verdict;
mod watchers;
mod workload;

mod clock;
mod cut_off;
mod database;
mod disk;
mod flood;
mod hung;
mod killed;
mod silent;
mod stopped;
mod strangers;
mod terminated;
mod zones;
