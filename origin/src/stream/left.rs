//! What a run goes on from that another process made: this origin's own before it was killed, or the other origin's.

use std::sync::Arc;

use hls::{LastPosition, Packager, Snapshot};

/// What is known of a run that ended with its process.
#[derive(Clone, Debug)]
pub enum Left {
    /// Its numbers: it was the other origin's.
    LastPosition(LastPosition),
    /// All that players know: it was this origin's.
    Restored(Arc<Snapshot>),
}

impl Left {
    /// What its playlists have promised.
    pub fn constants(&self) -> Option<hls::PlaylistConstants> {
        match self {
            Left::LastPosition(last_position) => Some(last_position.constants),
            Left::Restored(snapshot) => snapshot.constants(),
        }
    }

    /// The name of the run that goes on from it, where that is announced.
    pub fn run_id(&self) -> Option<String> {
        match self {
            Left::LastPosition(_) => None,
            Left::Restored(snapshot) => Some(snapshot.run_id().to_owned()),
        }
    }

    /// Discontinuities through the one that follows.
    pub(super) fn discontinuities(&self) -> u64 {
        match self {
            // The one before what was lost, if viewers were told of it, and the one after.
            Left::LastPosition(last_position) => last_position.discontinuity_sequence + 2,
            Left::Restored(snapshot) => snapshot.next_numbers().1 + 1,
        }
    }

    pub(super) fn hand_to(self, packager: &mut Packager) -> Result<(), hls::Error> {
        match self {
            Left::LastPosition(last_position) => packager.continue_after(last_position),
            Left::Restored(snapshot) => packager.resume(snapshot),
        }
    }
}
