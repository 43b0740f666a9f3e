//! Going on from what a killed process left, as its successor read it back ([`crate::checkpoint`]): the segments that viewers
//! know stay listed under the URLs they know, and the next one comes after a discontinuity.
//!
//! ```text
//! before   N-2  N-1  N (open)
//! after    N-2  N-1  N (as far as it got)  discontinuity  N+1 ...
//! ```
//!
//! Where nothing but numbers is left, [`super::LastPosition`] goes on from those.

use std::sync::Arc;

use media::VIDEO_TIMESCALE;

use super::{Packager, State};
use crate::{Error, Snapshot, Variant, rendition::Rendition};

impl Packager {
    /// Goes on from `restored`: call before [`Packager::start`], with its constants and run_id in the
    /// configuration.
    pub fn resume(&mut self, restored: Arc<Snapshot>) -> Result<(), Error> {
        let same = restored.constants.is_some()
            && self.config.constants == restored.constants
            && *self.config.run_id == *restored.run_id;
        let leader = restored.renditions.first();
        let (true, State::Idle, Some(leader)) = (same, self.state, leader) else {
            return Err(Error::State("cannot go on from another's restored"));
        };
        for segment in leader.listed() {
            let ticks = segment.timescale.rescale(segment.duration, VIDEO_TIMESCALE);
            self.window.push(segment.msn, ticks);
        }
        (self.next_msn, self.discontinuities) = restored.next_numbers();
        self.discontinuity = true;
        self.follows_gaps = true;
        self.constants = restored.constants;
        self.ready_at = Some(self.window.clock());
        self.multivariant_exists = restored.multivariant.is_some();
        for own in [&mut self.source, &mut self.audio] {
            inherit(&restored, self.next_msn, own);
            if let Some(constants) = self.constants {
                own.meter.fix(constants.target_duration);
            }
        }
        self.restored = Some(restored);
        self.changed = true;
        Ok(())
    }

    /// What the multivariant playlist said of a rendition, while this run has not measured it.
    pub(super) fn known_variant(&self, rendition: &Rendition) -> Option<Variant> {
        if rendition.meter.bandwidth().is_some() && rendition.track().is_some() {
            return None;
        }
        let known = self.restored.as_ref()?.multivariant.as_ref()?;
        let mut variants = known.variants.iter();
        variants
            .find(|variant| variant.rendition == rendition.name)
            .cloned()
    }
}

/// Gives a rendition what the one of its name left.
pub(super) fn inherit(restored: &Snapshot, next_msn: u64, heir: &mut Rendition) {
    heir.cursor = next_msn;
    if let Some(media) = restored.media(&heir.name) {
        heir.inherit(media);
        heir.listed = restored.multivariant.as_ref().is_some_and(|known| {
            let mut variants = known.variants.iter();
            let is_audio = known.audio.iter().any(|audio| audio.rendition == heir.name);
            is_audio || variants.any(|variant| variant.rendition == heir.name)
        });
    }
}
