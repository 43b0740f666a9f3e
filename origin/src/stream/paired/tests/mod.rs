//! Two origins, one encoder with a connection to each, a network between, all on simulated time;
//! and a careful observer of every URL.

mod false_answers;
mod observer;
mod scenarios;
mod schedules;
mod simulation;
