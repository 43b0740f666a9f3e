//! Decides which of two origins leads: both compute it alike, without asking.

use crate::RunStatus;

/// Numbers of two runs this close are a tie: each side's view of the other is one poll old.
const TIE_SEGMENTS: u64 = 4;

/// One origin's claim to a stream.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its run, unless that has ended.
    pub run: Option<&'a RunStatus>,
    /// Wins ties.
    pub primary: bool,
}

impl Candidate<'_> {
    fn level(&self) -> u8 {
        match self.run {
            Some(run) if run.served => 2,
            Some(_) => 1,
            None => 0,
        }
    }
}

/// Whether `local` goes on as it is and `peer` must follow. Given the same inputs and different
/// `primary`, exactly one side leads; with equal `primary` two origins without a run may both lead,
/// which is told as [`crate::PeerError::SameRole`].
///
/// What was served leads what was not. Of one run's two carriers the elder leads. Of two runs the
/// one with the higher numbers leads, because the other can move up and nobody can move down. Then
/// the primary.
pub fn is_leader(local: Candidate<'_>, peer: Candidate<'_>) -> bool {
    if local.level() != peer.level() {
        return local.level() > peer.level();
    }
    let by_role = local.primary && !peer.primary;
    let equal_role = local.primary == peer.primary;
    let (Some(ours), Some(theirs)) = (local.run, peer.run) else {
        return by_role || equal_role;
    };
    if ours.run_id == theirs.run_id {
        return match ours.origin_msn.cmp(&theirs.origin_msn) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => by_role || equal_role,
        };
    }
    if ours.served && ours.next_msn.abs_diff(theirs.next_msn) > TIE_SEGMENTS {
        return ours.next_msn > theirs.next_msn;
    }
    if equal_role {
        return ours.run_id > theirs.run_id;
    }
    by_role
}
