//! The packager through its public API, on simulated broadcasts.

mod common;

use common::{Broadcast, Source, config, rung};
use hls::{Delivery, Flavour, render_media, render_multivariant};

#[test]
fn p12_every_rendition_lists_the_same_segments() {
    let rungs = [rung("1920p", 5_800_000), rung("960p", 2_300_000)];
    let mut broadcast = Broadcast::new(config(), Source::regular(30, 30), &rungs);
    broadcast.run_seconds(15);
    let snapshot = broadcast.packager.snapshot();
    for media in snapshot.renditions() {
        println!(
            "{}\n{}",
            media.name(),
            render_media(media, &Delivery::default())
        );
    }
    let multivariant = snapshot.multivariant().unwrap();
    println!(
        "{}",
        render_multivariant(multivariant, "test/", Flavour::Web)
    );
    println!(
        "{}",
        render_multivariant(multivariant, "test/", Flavour::Spatial)
    );
}
