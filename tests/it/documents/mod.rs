//! Documents, through the real server: their verbs, their days, their lists, and a year of them.

mod approvals;
mod beginnings;
mod chance;
mod corrections;
mod days;
mod dependants;
mod depending;
mod drawn;
mod lateness;
mod lifecycle;
mod lists;
mod people;
mod stranding;

mod watches;
mod year;
