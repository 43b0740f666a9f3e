//! Two origins, one encoder with a connection to each, a network between, all on simulated time; and a
//! careful observer of every URL.

mod bench;
mod facts;
mod lies;
mod observer;
mod scenes;
mod schedules;
