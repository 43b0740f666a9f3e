//! Single scenes: what must happen when one thing happens.

use std::time::Duration;

use testkit::Shape;

use super::simulation::Simulation;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn shape(frame_rate: (u32, u32), gop: u64) -> Shape {
    Shape {
        frame_rate,
        declared_rate: Some(frame_rate),
        gop,
        b_pictures: true,
        ..Shape::default()
    }
}

fn locked(simulation: &Simulation) {
    let reports = [simulation.report(0), simulation.report(1)];
    assert!(
        simulation.is_locked(),
        "{:#?}",
        reports.map(|report| report["pairing"].clone())
    );
    for rendition in ["source", "audio"] {
        assert!(
            simulation.in_common(rendition) >= 4,
            "{rendition}: {}",
            simulation.in_common(rendition)
        );
    }
}

#[test]
fn starts_apart_end_in_one_run() {
    let rates = [
        ((30, 1), 60),
        ((30_000, 1001), 30),
        ((60, 1), 120),
        ((25, 1), 50),
        ((60, 1), 300),
    ];
    for (rate, gop) in rates {
        for apart in [0, 1, 40, 400, 1900, 3300, 6999] {
            for first in [0, 1] {
                let mut simulation = Simulation::new(shape(rate, gop));
                simulation.connect(first, ms(123), ms(0));
                simulation.connect(1 - first, ms(123 + apart), ms(37));
                simulation.run(s(40));
                locked(&simulation);
                let report = simulation.report(0);
                assert_eq!(
                    report["pairing"]["disagreements"], 0,
                    "{rate:?} {apart} {first}"
                );
            }
        }
    }
}

#[test]
fn origins_tell_each_other_a_hundredth_of_what_they_carry() {
    // Half of what the first 360° cameras send, in each direction; keyframes as rare, as usual and
    // as close as encoders are set.
    const MEDIA_BYTES: usize = 4_000_000 / 8;
    for (rate, gop) in [((30, 1), 30), ((30, 1), 60), ((30, 1), 120), ((60, 1), 12)] {
        let mut simulation = Simulation::new(shape(rate, gop));
        simulation.connect(0, ms(0), ms(0));
        simulation.connect(1, ms(1500), ms(20));
        simulation.run(s(120));
        locked(&simulation);
        let making_it = simulation.told_bytes;
        simulation.run(s(60));
        let keeping_it = (simulation.told_bytes - making_it) / 60;
        assert!(
            keeping_it < 2 * MEDIA_BYTES / 100,
            "{keeping_it} bytes a second at {rate:?}, {gop}"
        );
        assert!(
            making_it < 120 * 2 * MEDIA_BYTES / 100,
            "{making_it} bytes to make the lock at {rate:?}, {gop}"
        );
    }
}

#[test]
fn a_restarted_origin_comes_back_into_the_same_run() {
    for dead in [0, 1] {
        let mut simulation = Simulation::new(shape((30, 1), 60));
        simulation.connect(0, ms(0), ms(0));
        simulation.connect(1, ms(1500), ms(20));
        simulation.run(s(30));
        locked(&simulation);
        let run_id = simulation.report(1 - dead)["run"]["epoch"].clone();
        simulation.kill(dead);
        simulation.run(s(5));
        simulation.start(dead, 0);
        simulation.connect(dead, ms(700), ms(0));
        simulation.run(s(30));
        locked(&simulation);
        assert_eq!(simulation.report(dead)["run"]["epoch"], run_id);
    }
}

#[test]
fn when_both_are_replaced_one_after_the_other_the_run_goes_on() {
    for first in [0, 1] {
        let mut simulation = Simulation::new(shape((30, 1), 60));
        simulation.connect(0, ms(0), ms(0));
        simulation.connect(1, ms(1500), ms(20));
        simulation.run(s(30));
        let run_id = simulation.report(0)["run"]["epoch"].clone();
        for (dead, skew) in [(first, 700), (1 - first, -700)] {
            simulation.kill(dead);
            simulation.run(s(5));
            simulation.start(dead, skew);
            simulation.connect(dead, ms(700), ms(0));
            simulation.run(s(30));
            locked(&simulation);
        }
        assert_eq!(simulation.report(0)["run"]["epoch"], run_id);
    }
}

#[test]
fn when_both_are_replaced_at_once_they_find_together_above() {
    for apart in [0, 1, 900, 4000] {
        let mut simulation = Simulation::new(shape((30_000, 1001), 60));
        simulation.connect(0, ms(0), ms(0));
        simulation.connect(1, ms(1500), ms(20));
        simulation.run(s(30));
        let last = simulation.media(0, "source").unwrap().last_msn();
        simulation.kill(0);
        simulation.kill(1);
        simulation.run(s(3));
        simulation.start(0, -300);
        simulation.start(1, 300);
        simulation.connect(0, ms(apart), ms(0));
        simulation.connect(1, ms(500), ms(30));
        simulation.run(s(40));
        locked(&simulation);
        let media = simulation.media(0, "source").unwrap();
        assert!(media.listed().first().map(|segment| segment.msn) > last);
    }
}

#[test]
fn an_encoder_that_fails_over_is_numbered_above() {
    let mut simulation = Simulation::new(shape((30, 1), 60));
    simulation.connect(0, ms(0), ms(0));
    simulation.run(s(30));
    // There and back again.
    for (left, taken) in [(0, 1), (1, 0), (0, 1)] {
        simulation.disconnect(left);
        let before = simulation.media(left, "source").unwrap();
        simulation.connect(taken, s(2), ms(0));
        simulation.run(s(14));
        let media = simulation.media(taken, "source").unwrap();
        let first = media.listed().first().unwrap();
        assert_eq!(
            Some(first.msn),
            before.last_msn().map(|last| last + 1),
            "players find their place"
        );
        let breaks = media
            .listed()
            .iter()
            .filter(|segment| segment.discontinuity && !segment.gap);
        assert_eq!(breaks.count(), 1);
        assert_eq!(media.constants(), before.constants());
    }
}

#[test]
fn a_pause_while_the_other_comes_back_is_the_same_on_both() {
    let mut simulation = Simulation::new(shape((30_000, 1001), 119));
    simulation.connect(0, ms(0), ms(0));
    simulation.connect(1, ms(0), ms(0));
    simulation.run(ms(14_001));
    simulation.disconnect(0);
    simulation.run(ms(7641));
    simulation.pause(ms(2169));
    simulation.connect(0, ms(300), ms(10));
    simulation.run(s(90));
    locked(&simulation);
}

#[test]
fn one_lost_connection_comes_back_into_the_same_run() {
    for lost in [0, 1] {
        let mut simulation = Simulation::new(shape((30_000, 1001), 60));
        simulation.connect(0, ms(0), ms(0));
        simulation.connect(1, ms(900), ms(250));
        simulation.run(s(30));
        let run_id = simulation.report(0)["run"]["epoch"].clone();
        simulation.disconnect(lost);
        simulation.connect(lost, ms(3100), ms(10));
        simulation.run(s(40));
        locked(&simulation);
        assert_eq!(simulation.report(lost)["run"]["epoch"], run_id);
        assert!(
            simulation.report(1 - lost)["pairing"]["joins"]
                .as_u64()
                .unwrap()
                <= 1
        );
    }
}

#[test]
fn an_encoder_restart_is_one_discontinuity_for_both() {
    let mut simulation = Simulation::new(shape((30, 1), 60));
    simulation.connect(0, ms(0), ms(0));
    simulation.connect(1, ms(900), ms(15));
    simulation.run(s(30));
    simulation.disconnect(0);
    simulation.disconnect(1);
    simulation.run(s(3));
    simulation.connect(0, ms(400), ms(0));
    simulation.connect(1, ms(100), ms(15));
    simulation.run(s(40));
    locked(&simulation);
}

#[test]
fn a_partition_at_the_start_heals_into_one_run() {
    for first in [0, 1] {
        let mut simulation = Simulation::new(shape((30, 1), 60));
        simulation.partitioned = true;
        simulation.connect(first, ms(0), ms(0));
        simulation.connect(1 - first, ms(20_000), ms(0));
        simulation.run(s(40));
        assert!(!simulation.is_locked());
        simulation.partitioned = false;
        simulation.run(s(60));
        locked(&simulation);
    }
}

#[test]
fn a_partition_of_a_lock_changes_nothing() {
    let mut simulation = Simulation::new(shape((60, 1), 120));
    simulation.connect(0, ms(0), ms(0));
    simulation.connect(1, ms(2500), ms(5));
    simulation.run(s(20));
    simulation.partitioned = true;
    simulation.run(s(60));
    assert_eq!(simulation.report(0)["pairing"]["state"], "alone");
    assert!(simulation.in_common("source") > 4, "both go on alike");
    simulation.partitioned = false;
    simulation.run(s(10));
    locked(&simulation);
}

#[test]
fn only_a_lock_that_there_should_be_is_missed() {
    let unlocked =
        |simulation: &Simulation, index| simulation.report(index)["pairing"]["unlocked"] == true;
    let mut simulation = Simulation::new(shape((30, 1), 60));
    // The encoder only fails over: the peer says that nobody publishes there.
    simulation.connect(0, ms(0), ms(0));
    simulation.run(s(60));
    assert!(!unlocked(&simulation, 0) && !unlocked(&simulation, 1));
    simulation.connect(1, ms(0), ms(20));
    simulation.run(s(60));
    locked(&simulation);
    assert!(!unlocked(&simulation, 0) && !unlocked(&simulation, 1));
    simulation.partitioned = true;
    simulation.run(s(30));
    assert!(!unlocked(&simulation, 0), "a pause is no alarm");
    simulation.run(s(30));
    assert!(unlocked(&simulation, 0) && unlocked(&simulation, 1));
    simulation.partitioned = false;
    simulation.run(s(10));
    assert!(!unlocked(&simulation, 0) && !unlocked(&simulation, 1));
}

#[test]
fn a_slow_peer_costs_a_bounded_wait() {
    let mut simulation = Simulation::new(shape((30, 1), 60));
    simulation.latency = ms(700);
    simulation.connect(0, ms(0), ms(0));
    simulation.run(s(12));
    assert!(
        simulation.media(0, "source").is_some(),
        "{:#?}",
        simulation.report(0)["pairing"]
    );
    simulation.connect(1, ms(0), ms(0));
    simulation.run(s(12));
    assert!(simulation.media(1, "source").is_some());
    simulation.latency = ms(20);
    simulation.run(s(60));
    locked(&simulation);
}

#[test]
fn a_still_picture_is_told_apart_by_time() {
    // Every keyframe alike: only when they came says which is which.
    let mut simulation = Simulation::new(shape((30, 1), 60));
    simulation.still = true;
    simulation.connect(0, ms(0), ms(0));
    simulation.connect(1, ms(5_000), ms(30));
    simulation.run(s(40));
    locked(&simulation);
}

#[test]
fn who_was_told_enough_to_join_counts_as_a_carrier() {
    // The backup joins, and every question that would have told the elder so is lost.
    let mut simulation = Simulation::new(shape((30, 1), 120));
    simulation.connect(1, ms(1618), ms(110));
    simulation.run(s(8));
    simulation.connect(0, ms(0), ms(264));
    simulation.run(ms(4400));
    simulation.loss_percent = 100;
    simulation.disconnect(1);
    simulation.run(s(20));
    simulation.loss_percent = 0;
    simulation.connect(1, ms(300), ms(10));
    simulation.run(s(40));
    locked(&simulation);
}

#[test]
fn a_dead_peer_may_have_gone_further_than_we() {
    let mut simulation = Simulation::new(shape((30, 1), 30));
    simulation.connect(0, ms(0), ms(0));
    simulation.connect(1, ms(0), ms(0));
    simulation.run(s(20));
    simulation.disconnect(1);
    simulation.run(s(5));
    simulation.kill(0);
    simulation.connect(1, ms(300), ms(0));
    simulation.run(s(10));
    simulation.start(0, 0);
    simulation.connect(0, ms(300), ms(10));
    simulation.run(s(40));
    locked(&simulation);
}

#[test]
fn a_long_dead_peer_does_not_end_the_run() {
    let mut simulation = Simulation::new(shape((30, 1), 60));
    simulation.connect(0, ms(0), ms(0));
    simulation.connect(1, ms(1000), ms(0));
    simulation.run(s(20));
    let run_id = simulation.report(1)["run"]["epoch"].clone();
    simulation.kill(0);
    simulation.run(s(20));
    simulation.disconnect(1);
    simulation.connect(1, s(3), ms(0));
    simulation.run(s(20));
    assert_eq!(
        simulation.report(1)["run"]["epoch"],
        run_id,
        "one discontinuity in the same run"
    );
}

#[test]
fn parts_end_where_the_first_segment_of_the_run_decided() {
    // A picture is missing in the elder's first segment, which the other never sees.
    let mut simulation = Simulation::new(shape((30_000, 1001), 29));
    simulation.connect(0, ms(1068), ms(151));
    simulation.connect(1, ms(811), ms(0));
    simulation.run(ms(951));
    simulation.pause(ms(34));
    simulation.run(s(40));
    locked(&simulation);
}

#[test]
fn a_pause_of_the_encoder_is_the_same_on_both() {
    let mut simulation = Simulation::new(shape((30, 1), 60));
    simulation.connect(0, ms(0), ms(0));
    simulation.connect(1, ms(1000), ms(12));
    simulation.run(s(20));
    simulation.pause(s(4));
    simulation.run(s(60));
    locked(&simulation);
}

#[test]
fn who_joined_and_is_joined_waits_for_nobody() {
    // Before any playlist: the backup joins the primary, whose connection breaks and joins the
    // backup.
    let mut simulation = Simulation::new(shape((30, 1), 60));
    simulation.connect(0, ms(257), ms(84));
    simulation.connect(1, ms(406), ms(74));
    simulation.run(ms(5000));
    simulation.disconnect(0);
    simulation.connect(0, ms(100), ms(10));
    simulation.run(s(25));
    locked(&simulation);
}

#[test]
fn timelines_that_follow_a_clock_at_their_own_moments_find_together_again() {
    // A pause so long that it counts as a new clock, which audio is then led to sample by sample.
    let mut simulation = Simulation::new(shape((30, 1), 30));
    simulation.observer.lenient = true;
    simulation.connect(0, ms(982), ms(0));
    simulation.connect(1, ms(4203), ms(0));
    simulation.run(ms(12_521));
    simulation.run(ms(2801));
    simulation.pause(ms(5312));
    simulation.run(s(120));
    locked(&simulation);
    let before = [0, 1].map(|index| simulation.report(index)["pairing"]["disagreements"].clone());
    simulation.run(s(30));
    locked(&simulation);
    let after = [0, 1].map(|index| simulation.report(index)["pairing"]["disagreements"].clone());
    assert_eq!(before, after);
}
