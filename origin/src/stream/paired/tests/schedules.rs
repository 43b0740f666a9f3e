//! Random schedules: whatever happens, no URL changes its bytes, no number goes back, the viewer
//! goes on, and peace ends in one run.

use std::time::Duration;

use proptest::prelude::*;

use super::{scenarios::shape, simulation::Simulation};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Act {
    Run(u64),
    Kill(usize),
    Start(usize, i64, u64),
    Disconnect(usize),
    Connect(usize, u64, u64),
    Partition(bool),
    Latency(u64),
    Loss(u64),
    Pause(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (100u64..15_000).prop_map(Act::Run),
        1 => (0usize..2).prop_map(Act::Kill),
        2 => (0usize..2, -800i64..800, 0u64..7_000).prop_map(|(i, skew, wait)| Act::Start(i, skew, wait)),
        1 => (0usize..2).prop_map(Act::Disconnect),
        3 => (0usize..2, 0u64..7_000, 0u64..400).prop_map(|(i, wait, delay)| Act::Connect(i, wait, delay)),
        1 => any::<bool>().prop_map(Act::Partition),
        1 => (0u64..600).prop_map(Act::Latency),
        1 => (0u64..60).prop_map(Act::Loss),
        1 => (1u64..4_800).prop_map(Act::Pause),
    ]
}

fn play(simulation: &mut Simulation, act: &Act) {
    let ms = Duration::from_millis;
    match *act {
        Act::Run(time) => simulation.run(ms(time)),
        Act::Kill(index) => simulation.kill(index),
        Act::Start(index, skew, wait) => {
            if !simulation.lives(index) {
                simulation.start(index, skew);
                simulation.connect(index, ms(wait), ms(10));
            }
        }
        Act::Disconnect(index) => simulation.disconnect(index),
        Act::Connect(index, wait, delay) => {
            if simulation.lives(index) && !simulation.is_connected(index) {
                simulation.connect(index, ms(wait), ms(delay));
            }
        }
        Act::Partition(on) => simulation.partitioned = on,
        Act::Latency(latency) => simulation.latency = ms(latency),
        Act::Loss(percent) => simulation.loss_percent = percent,
        Act::Pause(time) => simulation.pause(ms(time)),
    }
}

fn peace(simulation: &mut Simulation) {
    simulation.partitioned = false;
    simulation.loss_percent = 0;
    simulation.latency = Duration::from_millis(5);
    for index in 0..2 {
        if !simulation.lives(index) {
            simulation.start(index, 0);
        }
        if !simulation.is_connected(index) {
            simulation.connect(index, Duration::from_millis(300), Duration::from_millis(10));
        }
    }
    // Two attempts to give way, should the first come to nothing.
    simulation.run(Duration::from_secs(90));
}

/// A minute of broadcast takes a tenth of a second: `PROPTEST_CASES` says how many are worth it.
fn config(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    let asked = asked.and_then(|cases| cases.parse().ok());
    let cases = asked.unwrap_or(default);
    ProptestConfig {
        cases,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn any_schedule_converges_without_taking_anything_back(
        rate in prop_oneof![Just((30, 1)), Just((30_000, 1001)), Just((60, 1))],
        gop_seconds in prop_oneof![Just(1u64), Just(2), Just(4)],
        starts in (0u64..7_000, 0u64..7_000),
        delays in (0u64..300, 0u64..300),
        acts in proptest::collection::vec(act(), 0..14),
    ) {
        let ms = Duration::from_millis;
        let (frames, seconds) = rate;
        let gop = gop_seconds * u64::from(frames) / u64::from(seconds);
        let mut simulation = Simulation::new(shape(rate, gop));
        simulation.patience = Duration::from_secs(40);
        simulation.connect(0, ms(starts.0), ms(delays.0));
        simulation.connect(1, ms(starts.1), ms(delays.1));
        acts.iter().for_each(|act| play(&mut simulation, act));
        peace(&mut simulation);
        prop_assert!(
            simulation.is_locked(),
            "{:#?}",
            [simulation.report(0)["pairing"].clone(), simulation.report(1)["pairing"].clone()]
        );
        prop_assert!(simulation.observer.urls() > 50);
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn a_peer_that_lies_moves_no_number_back(
        starts in (0u64..7_000, 0u64..7_000),
        truth in 0u64..100,
        times in proptest::collection::vec((0usize..2, 500u64..12_000, 0u64..4_000), 1..8),
    ) {
        let ms = Duration::from_millis;
        let mut simulation = Simulation::new(shape((30, 1), 60));
        // Who believes a lie that could be true gives bytes of its own, and numbers up to a minute
        // ahead.
        simulation.observer.lenient = true;
        simulation.patience = Duration::from_secs(3600);
        simulation.lie_percent = 100 - truth;
        simulation.connect(0, ms(starts.0), ms(0));
        simulation.connect(1, ms(starts.1), ms(20));
        for (index, time, away) in times {
            simulation.run(ms(time));
            simulation.disconnect(index);
            simulation.connect(index, ms(away), ms(10));
        }
        simulation.lie_percent = 0;
        simulation.run(Duration::from_secs(400));
        prop_assert!(
            simulation.is_locked(),
            "{:#?}",
            [simulation.report(0)["pairing"].clone(), simulation.report(1)["pairing"].clone()]
        );
    }
}
