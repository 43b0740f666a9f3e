//! What may happen during a broadcast, by hand or at random; random ones shrink when a test fails.

use std::time::Duration;

use media::MediaKind;
use proptest::prelude::*;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Time passes.
    Run(Duration),
    /// The publisher's clock jumps by milliseconds.
    Jump(i64),
    /// One time stamp is off by milliseconds.
    Outlier(MediaKind, i64),
    /// Units are lost on the way.
    Lose(MediaKind, u64),
    /// The publisher captures nothing for a while.
    Pause(Duration),
    /// The connection is lost; it comes back after this time with its clock at the start.
    Reconnect(Duration),
    /// The picture's size changes.
    Resize((u32, u32)),
}

/// Random broadcasts of up to `acts` acts, each followed by some seconds of peace.
pub fn schedules(acts: usize) -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(act(), 1..=acts).prop_map(|acts| {
        let peace = |act| [act, Act::Run(Duration::from_millis(6_700))];
        let start = [Act::Run(Duration::from_millis(6_700))];
        start
            .into_iter()
            .chain(acts.into_iter().flat_map(peace))
            .collect()
    })
}

fn act() -> impl Strategy<Value = Act> {
    let kind = || prop_oneof![Just(MediaKind::Video), Just(MediaKind::Audio)];
    prop_oneof![
        (1u64..30_000).prop_map(|ms| Act::Run(Duration::from_millis(ms))),
        any::<i32>().prop_map(|ms| Act::Jump(i64::from(ms))),
        prop_oneof![Just(3_600_000), Just(-3_600_000)].prop_map(Act::Jump),
        (kind(), any::<i32>()).prop_map(|(kind, ms)| Act::Outlier(kind, i64::from(ms))),
        (kind(), 1u64..900).prop_map(|(kind, units)| Act::Lose(kind, units)),
        (1u64..20_000).prop_map(|ms| Act::Pause(Duration::from_millis(ms))),
        (0u64..60_000).prop_map(|ms| Act::Reconnect(Duration::from_millis(ms))),
        prop_oneof![Just((640, 320)), Just((1280, 640)), Just((1920, 960))].prop_map(Act::Resize),
    ]
}
