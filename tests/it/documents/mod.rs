//! Documents, through the real server: their verbs, their days, their lists, and a year of them.

mod beginnings;
mod chance;
mod days;
mod dependants;
mod drawn;
mod lateness;
mod lifecycle;
mod lists;

mod watches;
mod year;
