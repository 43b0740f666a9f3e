//! What a peer says is believed only if it can be true.

use hls::{Boundary, Constants, Tail};

use crate::twin::{
    Facts, RunFacts, Settings,
    facts::{Implausible, MarkFacts, State},
};

const WALL: i64 = 1_793_534_400_000_000;

fn facts() -> Facts {
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
        repeats_sets: false,
    };
    let mark = MarkFacts {
        hash: 1,
        dts: 720_000,
        pts: 744_000,
        frame: 12_000,
        age_ms: 40,
        boundary: Some(boundary),
    };
    let constants = Constants {
        target_duration: 2,
        part_target: Some(180_000),
    };
    let run = RunFacts {
        epoch: "abc".into(),
        origin_msn: next - 2,
        next_msn: next,
        discontinuity_sequence: 4,
        served: true,
        constants: Some(constants),
        inits: Default::default(),
        tail: Some(Tail {
            msn: next - 1,
            date_micros: WALL,
            discontinuity: false,
            discontinuity_sequence: 4,
            constants,
        }),
    };
    Facts {
        state: State::Live,
        run: Some(run),
        marks: vec![mark],
        sounds: vec![(1, 0), (2, 1024)],
        ..Facts::absent(settings, true)
    }
}

fn refused(change: impl FnOnce(&mut Facts)) -> Implausible {
    let mut facts = facts();
    change(&mut facts);
    facts.check(WALL).expect_err("implausible")
}

#[test]
fn what_can_be_true_is_believed() {
    assert_eq!(facts().check(WALL), Ok(()));
}

#[test]
fn numbers_ahead_of_the_clock_are_not_believed() {
    fn run(facts: &mut Facts) -> &mut RunFacts {
        facts.run.as_mut().expect("a run")
    }
    refused(|facts| run(facts).next_msn += 61);
    refused(|facts| run(facts).next_msn = u64::MAX);
    refused(|facts| run(facts).origin_msn = u64::MAX);
    refused(|facts| run(facts).discontinuity_sequence = u64::MAX);
    refused(|facts| run(facts).epoch = "../up".into());
    refused(|facts| run(facts).epoch = String::new());
    fn tail(facts: &mut Facts) -> &mut Tail {
        run(facts).tail.as_mut().expect("a tail")
    }
    refused(|facts| tail(facts).msn += 2);
    refused(|facts| tail(facts).msn -= 1);
    refused(|facts| tail(facts).discontinuity_sequence = 5);
    refused(|facts| tail(facts).date_micros = i64::MIN);
    refused(|facts| tail(facts).constants.target_duration = 3);
}

#[test]
fn impossible_times_are_not_believed() {
    fn boundary(facts: &mut Facts) -> &mut Boundary {
        let boundary = facts
            .marks
            .last_mut()
            .and_then(|mark| mark.boundary.as_mut());
        boundary.expect("a boundary")
    }
    refused(|facts| boundary(facts).msn = u64::MAX);
    refused(|facts| boundary(facts).dts = i64::MIN);
    refused(|facts| boundary(facts).anchor_micros = 0);
    refused(|facts| boundary(facts).anchor_micros = i64::MAX);
    refused(|facts| boundary(facts).anchor_time = i64::MIN);
    refused(|facts| boundary(facts).keyframe_interval = Some(0));
    refused(|facts| boundary(facts).part_target = Some(0));
    refused(|facts| facts.marks.push(facts.marks[0]));
    refused(|facts| facts.marks[0].pts = i64::MAX);
    refused(|facts| facts.sounds.reverse());
    refused(|facts| facts.sounds[0].1 = -1);
}

#[test]
fn more_than_there_can_be_is_not_taken() {
    refused(|facts| facts.sounds = (0..513).map(|n| (0, n)).collect());
    refused(|facts| facts.version = 2);
}
