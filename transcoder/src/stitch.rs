//! The slices of an asset to its playlists: everything first, the multivariant playlist last and
//! once.
//!
//! Any number of workers may stitch the same asset at the same time or die while they do: all write
//! the same bytes from the same manifests, and only one creates the multivariant playlist.

use contract::{Info, RungInfo, StartedAt};
use hls::Flavour;
use media::VIDEO_TIMESCALE;
use store::Created;
use urls::AssetFile;

use crate::{
    error::{Error, Result},
    layout::{self, Manifest, Notes, SLICES_MAX, WORK_BYTES_MAX},
    plan::Plan,
    playlist::{PlaylistParams, Rendition, render_media, render_multivariant, render_thumbnails},
    retrying_store::RetryingStore,
    vod_index,
};

/// What became of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stitched {
    /// Slices are missing.
    NotYet,
    /// This call completed it.
    Now,
    /// Another call completed it.
    Before,
}

/// What stitching came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What became of the asset.
    pub state: Stitched,
    /// What its owner should know, a sentence each; empty while slices are missing.
    pub warnings: Vec<String>,
}

impl From<Stitched> for Outcome {
    fn from(state: Stitched) -> Self {
        Self {
            state,
            warnings: Vec::new(),
        }
    }
}

/// Writes the playlists if every slice is done.
pub async fn stitch(store: &RetryingStore, plan: &Plan) -> Result<Outcome> {
    let there = store
        .list(&layout::manifests(&plan.asset), SLICES_MAX)
        .await?;
    if there.len() < plan.slices.len() {
        return Ok(Stitched::NotYet.into());
    }
    let mut manifests = Vec::with_capacity(plan.slices.len());
    for slice in 0..plan.slices.len() as u32 {
        let key = layout::manifest(&plan.asset, slice);
        let Some(bytes) = store.read(&key, WORK_BYTES_MAX).await? else {
            // Another worker finished and cleaned up meanwhile.
            let complete = store.find(&layout::multivariant(&plan.asset)).await?;
            let state = complete.map_or(Stitched::NotYet, |_| Stitched::Before);
            return Ok(state.into());
        };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| Error::Work {
            what: key,
            reason: error.to_string(),
        })?;
        manifests.push(manifest);
    }
    let warnings = warnings(plan, &manifests);
    let state = match publish(store, plan, &manifests, &warnings).await? {
        Created::Yes => Stitched::Now,
        Created::Existed => Stitched::Before,
    };
    Ok(Outcome { state, warnings })
}

async fn publish(
    store: &RetryingStore,
    plan: &Plan,
    manifests: &[Manifest],
    warnings: &[String],
) -> Result<Created> {
    let asset = &plan.asset;
    let mut renditions = renditions(manifests);
    for (rung, projection) in plan.reprojected() {
        let rendition = renditions.iter_mut().find(|one| one.name == rung.name);
        if let Some(rendition) = rendition {
            rendition.projection = Some(projection);
        }
    }
    for audio in &plan.audio {
        let rendition = renditions.iter_mut().find(|one| one.name == audio.name);
        if let Some(rendition) = rendition {
            rendition.label.clone_from(&audio.label);
            rendition.language.clone_from(&audio.source.language);
            rendition.is_default = audio.source.is_default;
        }
    }
    let target = renditions
        .iter()
        .map(Rendition::target_duration)
        .max()
        .unwrap_or(1);
    let params = params(plan, target);
    for rendition in &renditions {
        let file = AssetFile::Playlist {
            rendition: &rendition.name,
        };
        let key = layout::vod(asset, file);
        store
            .put(
                &key,
                render_media(rendition, &params).into(),
                layout::PLAYLIST,
            )
            .await?;
    }
    let sheets: Vec<_> = manifests
        .iter()
        .flat_map(|m| m.sheets.iter().cloned())
        .collect();
    if !sheets.is_empty() {
        let text = render_thumbnails(&sheets, plan.seconds());
        store
            .put(
                &layout::vod(asset, AssetFile::Thumbnails),
                text.into(),
                layout::VTT,
            )
            .await?;
    }
    let info = serde_json::to_vec(&info(plan, warnings)).map_err(|error| Error::Work {
        what: asset.clone(),
        reason: error.to_string(),
    })?;
    store
        .put(
            &layout::vod(asset, AssetFile::Info),
            info.into(),
            layout::JSON,
        )
        .await?;
    let multivariant =
        |flavour| render_multivariant(&renditions, target, plan.immersive(), flavour);
    let spatial = multivariant(Flavour::Spatial);
    let key = layout::vod(asset, AssetFile::Multivariant { spatial: true });
    store.put(&key, spatial.into(), layout::PLAYLIST).await?;
    let text = multivariant(Flavour::Web);
    let key = layout::multivariant(asset);
    let created = store
        .put_if_absent(&key, text.into(), layout::PLAYLIST)
        .await?;
    if created == Created::Yes {
        tracing::info!(asset, seconds = plan.seconds(), "asset complete");
    }
    vod_index::add(store, plan, !sheets.is_empty(), warnings).await?;
    clean(store, plan).await?;
    Ok(created)
}

/// All slices by rendition, in the order of the first slice that has them.
fn renditions(manifests: &[Manifest]) -> Vec<Rendition> {
    let mut renditions: Vec<Rendition> = Vec::new();
    for slice in manifests.iter().flat_map(|manifest| &manifest.renditions) {
        let at = renditions
            .iter()
            .position(|rendition| rendition.name == slice.name);
        let at = at.unwrap_or_else(|| {
            renditions.push(Rendition::new(slice));
            renditions.len() - 1
        });
        if let Some(rendition) = renditions.get_mut(at) {
            rendition.push(slice);
        }
    }
    renditions.iter_mut().for_each(Rendition::trim);
    renditions.retain(|rendition| !rendition.segments.is_empty());
    renditions
}

fn params(plan: &Plan, target_duration: u64) -> PlaylistParams {
    let breaks = plan
        .segments
        .iter()
        .zip(0..)
        .filter(|(segment, _)| segment.discontinuity);
    let date =
        |start| (plan.started_at * 1e6) as i64 + (VIDEO_TIMESCALE.seconds(start) * 1e6) as i64;
    let dated = plan.started_at > 0.0;
    let dates = plan
        .segments
        .iter()
        .filter(|_| dated)
        .map(|segment| date(segment.start));
    PlaylistParams {
        target_duration,
        discontinuities: breaks.map(|(_, number)| number).collect(),
        dates: dates.collect(),
    }
}

/// What the owner of the source should know: of the whole, then of its slices.
fn warnings(plan: &Plan, manifests: &[Manifest]) -> Vec<String> {
    let mut warnings = plan.warnings.clone();
    let sum = |of: fn(&Notes) -> u64| manifests.iter().map(|manifest| of(&manifest.notes)).sum();
    let damaged: u64 = sum(|notes| notes.damaged);
    if damaged > 0 {
        warnings.push(format!(
            "{damaged} pictures could not be decoded: the ones before them are shown longer"
        ));
    }
    let damaged: u64 = sum(|notes| notes.damaged_audio);
    if damaged > 0 {
        warnings.push(format!(
            "{damaged} audio packets could not be decoded: silence stands in their place"
        ));
    }
    let sizes: u64 = sum(|notes| notes.size_changes);
    if sizes > 0 && !warnings.iter().any(|said| said.contains("picture size")) {
        warnings.push("its picture size changes on the way: all is shown in one size".to_owned());
    }
    warnings
}

/// What a player must know. An asset has no `state`: what has one is a live stream to the page,
/// which then waits for its return.
fn info(plan: &Plan, warnings: &[String]) -> Info {
    let rungs = plan
        .reprojected()
        .into_iter()
        .map(|(rung, projection)| RungInfo {
            height: rung.height,
            projection,
            width: rung.width,
        });
    Info {
        duration: Some(plan.seconds()),
        rungs: rungs.collect(),
        started_at: Some(StartedAt::Seconds(plan.started_at)),
        warnings: warnings.to_vec(),
        ..Info::new(plan.stream.as_str(), &plan.immersive())
    }
}

/// Removes what only workers needed. The plan goes last: whoever finds none looks for the playlist.
async fn clean(store: &RetryingStore, plan: &Plan) -> Result<()> {
    for slice in 0..plan.slices.len() as u32 {
        store.delete(&layout::manifest(&plan.asset, slice)).await?;
    }
    store.delete(&layout::sent(&plan.asset)).await?;
    store.delete(&layout::plan(&plan.asset)).await?;
    Ok(())
}
