//! The list of all assets that pages show: `vod/index.json`.
//!
//! Many workers add to it at once and a store has no transactions. So each asset has an entry of
//! its own, the list is made of the entries, and whoever wrote the list looks at the entries again:
//! the last writer always saw them all.

use media::{Projection, StereoLayout};
use serde::{Deserialize, Serialize};
use urls::{AssetFile, Vod};

use crate::{
    error::Result,
    layout::{self, WORK_BYTES_MAX},
    plan::Plan,
    retrying_store::RetryingStore,
};

/// Entries the list holds: the newest. More would make a page that nobody scrolls.
pub const LISTED_MAX: usize = 1000;

/// Entries begin with this minus the time they began at, so that a listing has the newest first.
const EPOCH_END: u64 = 9_999_999_999;

const PREFIX: &str = "catalogue/";

/// One asset as pages see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Its name.
    pub asset: String,
    /// The stream it is of.
    pub stream: String,
    /// Seconds since 1970.
    pub started_at: f64,
    /// Seconds.
    pub duration: f64,
    /// Its multivariant playlist.
    pub url: String,
    /// A picture of it.
    pub poster: Option<String>,
    /// Thumbnails for seeking.
    #[serde(default)]
    pub thumbnails: Option<String>,
    /// How its pictures lie on the sphere, as live streams say it.
    pub info: Info,
    /// What is missing in it or was done to it, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a page shows of a picture's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// Sphere to picture.
    pub projection: Projection,
    /// Eyes to frame.
    pub stereo: StereoLayout,
    /// Where the picture's centre lies, in degrees.
    pub yaw: f64,
    /// The same, upwards.
    pub pitch: f64,
    /// The same, clockwise.
    pub roll: f64,
}

fn key(plan: &Plan) -> String {
    let began = EPOCH_END.saturating_sub(plan.started_at.max(0.0) as u64);
    format!("{PREFIX}{began:010}-{}.json", plan.asset)
}

fn entry(plan: &Plan, has_thumbnails: bool, warnings: &[String]) -> IndexEntry {
    let asset = &plan.asset;
    let url = |file| Vod::Asset { asset, file }.to_string();
    IndexEntry {
        asset: plan.asset.clone(),
        stream: plan.stream.clone(),
        started_at: plan.started_at,
        duration: plan.seconds(),
        url: url(AssetFile::Multivariant { spatial: false }),
        poster: has_thumbnails.then(|| url(AssetFile::Poster)),
        thumbnails: has_thumbnails.then(|| url(AssetFile::Thumbnails)),
        info: Info {
            projection: plan.projection,
            stereo: plan.stereo,
            yaw: plan.orientation.yaw,
            pitch: plan.orientation.pitch,
            roll: plan.orientation.roll,
        },
        warnings: warnings.to_vec(),
    }
}

/// Adds a complete asset.
pub(crate) async fn add(
    store: &RetryingStore,
    plan: &Plan,
    has_thumbnails: bool,
    warnings: &[String],
) -> Result<()> {
    let text = json(&entry(plan, has_thumbnails, warnings))?;
    store.put(&key(plan), text.into(), layout::WORK).await?;
    loop {
        let names = names(store).await?;
        let list = list(store, &names).await?;
        store
            .put(layout::VOD_INDEX, json(&list)?.into(), layout::INDEX)
            .await?;
        if self::names(store).await? == names {
            return Ok(());
        }
    }
}

async fn names(store: &RetryingStore) -> Result<Vec<String>> {
    let objects = store.list(PREFIX, LISTED_MAX).await?;
    Ok(objects.into_iter().map(|object| object.key).collect())
}

/// The entries of `names`; those that the present list has are taken from it.
async fn list(store: &RetryingStore, names: &[String]) -> Result<Vec<IndexEntry>> {
    let known = store.read(layout::VOD_INDEX, WORK_BYTES_MAX).await?;
    let known: Vec<IndexEntry> = known
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        let stem = name.trim_end_matches(".json");
        let is_it =
            |entry: &&IndexEntry| stem.split_once('-').is_some_and(|(_, a)| a == entry.asset);
        if let Some(entry) = known.iter().find(is_it) {
            entries.push(entry.clone());
            continue;
        }
        let bytes = store.read(name, WORK_BYTES_MAX).await?;
        match bytes.map(|bytes| serde_json::from_slice(&bytes)) {
            Some(Ok(entry)) => entries.push(entry),
            Some(Err(error)) => tracing::warn!(name, %error, "not an entry of the VOD index"),
            None => {}
        }
    }
    Ok(entries)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| crate::Error::Work {
        what: layout::VOD_INDEX.into(),
        reason: error.to_string(),
    })
}
