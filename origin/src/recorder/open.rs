//! Config to the origin's recorder: which store, which queue, which spool.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use service::{
    backoff::Backoff,
    config::{Jobs, Stores},
};

use crate::{
    config::RecorderConfig,
    recorder::{self, PART_BYTES, Recorder},
};

/// A store or queue that fails is tried again for ever: recordings wait in the spool meanwhile.
const BACKOFF: Backoff = Backoff::endless(Duration::from_millis(500), Duration::from_secs(30));

/// Opens the ingest store, the queue and the spool; goes on with recordings an earlier process
/// left.
///
/// S3 announces objects to the queue by itself (the bucket's notification), so only a folder store
/// is announced here.
pub async fn open(config: &RecorderConfig, stores: &Stores, jobs: &Jobs) -> Result<Recorder> {
    let store_options = store::Options {
        endpoint: stores.endpoint.clone(),
        path_style: stores.path_style,
        region: stores.region.clone(),
        credentials: None,
    };
    let store = store::open(&stores.ingest, &store_options)
        .await
        .context("[store] ingest")?;
    let announce: Option<Arc<dyn jobs::Queue>> = if stores.ingest.starts_with("s3://") {
        None
    } else {
        let options = jobs::Options {
            visibility: jobs.visibility.0,
            max_receives: jobs.max_receives,
            endpoint: jobs.endpoint.clone(),
            region: jobs.region.clone(),
            credentials: None,
        };
        Some(Arc::from(
            jobs::open(&jobs.queue, &options)
                .await
                .context("[jobs] queue")?,
        ))
    };
    let config = recorder::Config {
        spool: config.spool.clone(),
        quota: config.quota.0,
        part_bytes: PART_BYTES,
        store: Arc::from(store),
        announce,
        backoff: BACKOFF,
    };
    Ok(Recorder::open(config).await?)
}
