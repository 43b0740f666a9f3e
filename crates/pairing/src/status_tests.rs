//! What a peer says is believed only if it can be true.

use hls::{Boundary, LastPosition, PlaylistConstants};

use crate::{
    PeerStatus, RunStatus, Settings,
    status::{Implausible, KeyframeMark, State},
};

const WALL: i64 = 1_793_534_400_000_000;

fn status() -> PeerStatus {
    let settings = Settings {
        segment_target_ms: 2000,
        part_target_ms: None,
    };
    let next = (WALL / 1_000_000) as u64;
    let boundary = Boundary {
        msn: next - 1,
        dts: 720_000,
        time: 744_000,
        discontinuity: false,
        discontinuity_sequence: 4,
        anchor_time: 24_000,
        anchor_micros: WALL - 2_000_000,
        keyframe_interval: Some(720_000),
        part_target: Some(180_000),
        has_inband_parameter_sets: false,
        keyframes: hls::Keyframes::Idr,
    };
    let mark = KeyframeMark {
        hash: 1,
        dts: 720_000,
        pts: 744_000,
        frame: 12_000,
        age_ms: 40,
        boundary: Some(boundary),
    };
    let constants = PlaylistConstants {
        target_duration: 2,
        part_target: Some(180_000),
    };
    let run = RunStatus {
        run_id: "abc".into(),
        origin_msn: next - 2,
        next_msn: next,
        discontinuity_sequence: 4,
        served: true,
        constants: Some(constants),
        inits: Default::default(),
        last_position: Some(LastPosition {
            msn: next - 1,
            date_micros: WALL,
            discontinuity: false,
            discontinuity_sequence: 4,
            constants,
        }),
    };
    PeerStatus {
        state: State::Live,
        run: Some(run),
        marks: vec![mark],
        sounds: vec![(1, 0), (2, 1024)],
        ..PeerStatus::absent(settings, true)
    }
}

fn refused(change: impl FnOnce(&mut PeerStatus)) -> Implausible {
    let mut status = status();
    change(&mut status);
    status.check(WALL).expect_err("implausible")
}

#[test]
fn what_can_be_true_is_believed() {
    assert_eq!(status().check(WALL), Ok(()));
}

#[test]
fn numbers_ahead_of_the_clock_are_not_believed() {
    fn run(status: &mut PeerStatus) -> &mut RunStatus {
        status.run.as_mut().expect("a run")
    }
    refused(|status| run(status).next_msn += 61);
    refused(|status| run(status).next_msn = u64::MAX);
    refused(|status| run(status).origin_msn = u64::MAX);
    refused(|status| run(status).discontinuity_sequence = u64::MAX);
    refused(|status| run(status).run_id = "../up".into());
    refused(|status| run(status).run_id = String::new());
    fn last_position(status: &mut PeerStatus) -> &mut LastPosition {
        run(status).last_position.as_mut().expect("a last position")
    }
    refused(|status| last_position(status).msn += 2);
    refused(|status| last_position(status).msn -= 1);
    refused(|status| last_position(status).discontinuity_sequence = 5);
    refused(|status| last_position(status).date_micros = i64::MIN);
    refused(|status| last_position(status).constants.target_duration = 3);
}

#[test]
fn impossible_times_are_not_believed() {
    fn boundary(status: &mut PeerStatus) -> &mut Boundary {
        let boundary = status
            .marks
            .last_mut()
            .and_then(|mark| mark.boundary.as_mut());
        boundary.expect("a boundary")
    }
    refused(|status| boundary(status).msn = u64::MAX);
    refused(|status| boundary(status).dts = i64::MIN);
    refused(|status| boundary(status).anchor_micros = 0);
    refused(|status| boundary(status).anchor_micros = i64::MAX);
    refused(|status| boundary(status).anchor_time = i64::MIN);
    refused(|status| boundary(status).keyframe_interval = Some(0));
    refused(|status| boundary(status).part_target = Some(0));
    refused(|status| status.marks.push(status.marks[0]));
    refused(|status| status.marks[0].pts = i64::MAX);
    refused(|status| status.sounds.reverse());
    refused(|status| status.sounds[0].1 = -1);
}

#[test]
fn more_than_there_can_be_is_not_taken() {
    refused(|status| status.sounds = (0..513).map(|n| (0, n)).collect());
    refused(|status| status.version = 2);
}
