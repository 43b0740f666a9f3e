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

use super::{Packager, State};
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
        for own in [&mut self.source, &mut self.audio] {
            inherit(&remains, self.next_msn, own);
            if let Some(constants) = self.constants {
                own.meter.fix(constants.target_duration);
            }
        }
        self.remains = Some(remains);
        self.changed = true;
        Ok(())
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

/// Gives a rendition what the one of its name left.
pub(super) fn inherit(remains: &Snapshot, next_msn: u64, heir: &mut Rendition) {
    heir.cursor = next_msn;
    if let Some(media) = remains.media(&heir.name) {
        heir.inherit(media);
        heir.listed = remains.multivariant.as_ref().is_some_and(|known| {
            let mut variants = known.variants.iter();
            let sound = known.audio.iter().any(|audio| audio.rendition == heir.name);
            sound || variants.any(|variant| variant.rendition == heir.name)
        });
    }
}
