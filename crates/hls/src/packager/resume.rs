//! Going on from what a killed process left, as its successor read it back ([`crate::remains`]): the segments that viewers
//! know stay listed under the URLs they know, and the next one comes after a discontinuity.
//!
//! ```text
//! before   N-2  N-1  N (open)
//! after    N-2  N-1  N (as far as it got)  discontinuity  N+1 ...
//! ```
//!
//! Where nothing but numbers is left, [`super::Tail`] goes on from those.

use std::sync::Arc;

use media::VIDEO_TIMESCALE;

use super::{Anchor, Edge, Packager, State};
use crate::{Error, Snapshot, Variant, rendition::Rendition};

impl Packager {
    /// Goes on from `remains`: call before [`Packager::start`], with its constants and epoch in the
    /// configuration.
    pub fn resume(&mut self, remains: Arc<Snapshot>) -> Result<(), Error> {
        let same = remains.constants.is_some()
            && self.config.constants == remains.constants
            && *self.config.epoch == *remains.epoch;
        let leader = remains.renditions.first();
        let (true, State::Idle, Some(leader)) = (same, self.state, leader) else {
            return Err(Error::State("cannot go on from another's remains"));
        };
        for segment in leader.listed() {
            let ticks = segment.timescale.rescale(segment.duration, VIDEO_TIMESCALE);
            self.window.push(segment.msn, ticks);
        }
        (self.next_msn, self.discontinuities) = remains.next_numbers();
        self.discontinuity = true;
        self.is_bridged = true;
        self.constants = remains.constants;
        self.ready_at = Some(self.window.clock());
        self.multivariant_exists = remains.multivariant.is_some();
        self.remains = Some(remains);
        let (mut source, mut audio) = (self.source.clone(), self.audio.clone());
        self.inherit(&mut source);
        self.inherit(&mut audio);
        (self.source, self.audio) = (source, audio);
        self.changed = true;
        Ok(())
    }

    /// Gives a rendition what the one of its name left.
    pub(super) fn inherit(&self, heir: &mut Rendition) {
        let Some(remains) = &self.remains else {
            return;
        };
        heir.cursor = self.next_msn;
        if let Some(media) = remains.media(&heir.name) {
            heir.inherit(media);
            heir.listed = remains.multivariant.as_ref().is_some_and(|known| {
                let mut variants = known.variants.iter();
                let sound = known.audio.iter().any(|audio| audio.rendition == heir.name);
                sound || variants.any(|variant| variant.rendition == heir.name)
            });
        }
        if let Some(constants) = self.constants {
            heir.meter.fix(constants.target_duration);
        }
    }

    /// The first segment is dated by the clock, but not before the end of what is listed.
    pub(super) fn date_after_remains(&mut self, start: Edge, wall: i64) {
        let first = self.slots.is_empty() && self.anchor.is_none();
        if let (true, Some(remains)) = (first, &self.remains) {
            self.anchor = Some(Anchor {
                time: start.time,
                micros: wall.max(remains.end_micros()),
            });
        }
    }

    /// What the multivariant playlist said of a rendition, while this run has not measured it.
    pub(super) fn known_variant(&self, rendition: &Rendition) -> Option<Variant> {
        if rendition.meter.bandwidth().is_some() && rendition.track().is_some() {
            return None;
        }
        let known = self.remains.as_ref()?.multivariant.as_ref()?;
        let mut variants = known.variants.iter();
        variants
            .find(|variant| variant.rendition == rendition.name)
            .cloned()
    }
}
