//! How a stream's picture lies on the sphere: config's word, the publisher's, an operator's.

use media::{Immersive, SourceMetadata};
use tracing::info;

use super::core::Core;

impl Core {
    /// How the picture lies on the sphere.
    pub fn immersive(&self) -> Immersive {
        self.config.immersive
    }

    /// Changes that, against what config and the publisher say.
    pub fn set_immersive(&mut self, immersive: Immersive) {
        self.config.immersive_is_own = true;
        self.apply_immersive(immersive);
    }

    /// The publisher's word counts where config has none for this very stream.
    pub(super) fn hear(&mut self, metadata: &SourceMetadata) {
        if self.config.immersive_is_own {
            return;
        }
        self.apply_immersive(Immersive {
            projection: metadata.projection.unwrap_or(self.configured.projection),
            stereo: metadata.stereo.unwrap_or(self.configured.stereo),
            ..self.configured
        });
    }

    fn apply_immersive(&mut self, immersive: Immersive) {
        if self.config.immersive == immersive {
            return;
        }
        info!(
            stream = self.name,
            ?immersive,
            "how pictures lie on the sphere"
        );
        self.config.immersive = immersive;
        if let Some(run) = &mut self.run {
            run.set_immersive(immersive);
        }
    }
}
