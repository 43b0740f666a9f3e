//! Exactly one of two origins is the primary; anything else is told.

use std::time::Duration;

use pairing::{LocalState, Pairing, PeerError, PeerStatus, Settings};

const SETTINGS: Settings = Settings {
    segment_target_ms: 2000,
    part_target_ms: Some(500),
};

/// What an origin says of its pair after the peer's answer.
fn told(ours: bool, theirs: bool) -> Option<PeerError> {
    let local = LocalState {
        run: None,
        ended: false,
        has_publisher: true,
        shown_before: (0, 0),
    };
    let mut pairing = Pairing::new(SETTINGS, ours);
    let answer = Ok(PeerStatus::absent(SETTINGS, theirs));
    pairing.answered(answer, Duration::from_secs(1), local);
    pairing.report(Duration::from_secs(1)).trouble
}

#[test]
fn two_origins_of_one_role_are_told() {
    assert_eq!(told(true, true), Some(PeerError::SameRole(true)));
    assert_eq!(told(false, false), Some(PeerError::SameRole(false)));
    assert_eq!((told(true, false), told(false, true)), (None, None));
}

#[test]
fn the_reason_is_one_sentence_in_json() {
    let mut pairing = Pairing::new(SETTINGS, true);
    let local = LocalState {
        run: None,
        ended: false,
        has_publisher: true,
        shown_before: (0, 0),
    };
    pairing.answered(Err(PeerError::Slow), Duration::from_secs(1), local);
    let json = serde_json::to_value(pairing.report(Duration::from_secs(2))).unwrap();
    assert_eq!(json["trouble"], "the peer does not answer in time");
    assert_eq!(json["state"], "alone");
}
