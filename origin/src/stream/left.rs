//! What a run goes on from that another process made: this origin's own before it was killed, or the other origin's.

use std::sync::Arc;

use hls::{Packager, Snapshot, Tail};

/// What is known of a run that ended with its process.
#[derive(Clone, Debug)]
pub enum Left {
    /// Its numbers: it was the other origin's.
    Tail(Tail),
    /// All that players know: it was this origin's.
    Remains(Arc<Snapshot>),
}

impl Left {
    /// What its playlists have promised.
    pub fn constants(&self) -> Option<hls::Constants> {
        match self {
            Left::Tail(tail) => Some(tail.constants),
            Left::Remains(snapshot) => snapshot.constants(),
        }
    }

    /// The name of the run that goes on from it, where that is announced.
    pub fn epoch(&self) -> Option<String> {
        match self {
            Left::Tail(_) => None,
            Left::Remains(snapshot) => Some(snapshot.epoch().to_owned()),
        }
    }

    /// Discontinuities through the one that follows.
    pub(super) fn discontinuities(&self) -> u64 {
        match self {
            // The one before what was lost, if viewers were told of it, and the one after.
            Left::Tail(tail) => tail.discontinuity_sequence + 2,
            Left::Remains(snapshot) => snapshot.next_numbers().1 + 1,
        }
    }

    pub(super) fn hand_to(self, packager: &mut Packager) -> Result<(), hls::Error> {
        match self {
            Left::Tail(tail) => packager.go_on(tail),
            Left::Remains(snapshot) => packager.resume(snapshot),
        }
    }
}
