//! One local file to VOD in a local folder, without queue or service.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::UNIX_EPOCH,
};

use store::Folder;

use crate::{
    error::{Error, Result},
    input::Input,
    job, layout,
    plan::{self, Recording, Settings},
    progress::{Progress, Report},
    retrying_store::RetryingStore,
    slice,
    source::{self, Source},
    stitch,
};

/// Transcodes `path` into `out_dir`.
/// What an earlier, interrupted call made is not made again. `progress` shows how far it is.
pub async fn vod_file(
    path: &Path,
    out_dir: &Path,
    settings: &Settings,
    progress: &Progress,
) -> Result<Vod> {
    let name = path
        .file_name()
        .map_or_else(Default::default, |name| name.to_string_lossy());
    let fail = |error: std::io::Error| Error::recording(&path.to_string_lossy(), error);
    let metadata = std::fs::metadata(path).map_err(fail)?;
    let modified = metadata
        .modified()
        .map_err(fail)?
        .duration_since(UNIX_EPOCH);
    let modified = modified.unwrap_or_default();
    let recording = Recording {
        key: name.clone().into_owned(),
        etag: format!("{:x}-{:x}", metadata.len(), modified.as_nanos()),
        bytes: metadata.len(),
    };
    let egress = RetryingStore::new(Arc::new(Folder::open(out_dir).await?));
    let open = {
        let (path, key) = (path.to_owned(), recording.key.clone());
        move || {
            let beside = std::fs::read(path.with_extension("json")).ok();
            let sidecar = beside.and_then(|bytes| source::parse_sidecar(&bytes));
            let input = Input::file(&path).map_err(|error| Error::recording(&key, error))?;
            Source::new(&key, input, sidecar)
        }
    };
    let asset = job::asset_name(&recording.key, &recording.etag);
    let probe = open.clone();
    let shape = settings.clone();
    let probed = tokio::task::spawn_blocking(move || probe()?.probe(&shape)).await;
    let mut probe = probed.unwrap_or_else(|error| Err(Error::recording(&name, error)))?;
    probe
        .stream
        .get_or_insert_with(|| job::stream_name(&recording.key));
    probe.started_at.get_or_insert(modified.as_secs_f64());
    let plan = plan::plan(asset.clone(), recording, &probe, settings).map_err(Error::Ladder)?;
    let plan = Arc::new(plan);
    let of = plan.slices.len() as u32;
    for number in 0..of {
        let manifest = layout::manifest(&asset, number);
        if egress.find(&manifest).await?.is_some() {
            continue;
        }
        let start = plan
            .slice(number)
            .next()
            .map_or(0, |(_, segment)| segment.start);
        let end = plan
            .slice(number)
            .last()
            .map_or(0, |(_, segment)| segment.end);
        let meter = progress.begin(&asset, number, of, start, end);
        let cancel = Arc::new(AtomicBool::new(false));
        let made = slice::make(&plan, number, open.clone(), &egress, meter, cancel).await?;
        let text = serde_json::to_vec(&made).map_err(|error| Error::Work {
            what: manifest.clone(),
            reason: error.to_string(),
        })?;
        egress.put(&manifest, text.into(), layout::WORK).await?;
        progress.slice_done(media::VIDEO_TIMESCALE.seconds(end - start));
    }
    let outcome = stitch::stitch(&egress, &plan).await?;
    progress.asset_done(&asset, &outcome.warnings);
    Ok(Vod {
        asset,
        warnings: outcome.warnings,
    })
}

/// What a file became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vod {
    /// The asset's name: `<out_dir>/vod/<asset>/index.m3u8`.
    pub asset: String,
    /// What is missing in it or was done to it, a sentence each.
    pub warnings: Vec<String>,
}

/// Characters of a bar.
const BAR_WIDTH: usize = 30;

/// How far one file is, as a line for a terminal; `None` between slices.
pub fn bar(report: &Report) -> Option<String> {
    let running = report.running.first()?;
    let slices = f64::from(running.slices.max(1));
    let done = (f64::from(running.slice) + running.done) / slices;
    let full = (done * BAR_WIDTH as f64).round() as usize;
    let left = running.left_seconds.map_or_else(String::new, |seconds| {
        let whole = f64::from(running.slices - running.slice - 1);
        let rest = seconds + whole * seconds / (1.0 - running.done).max(0.01);
        let rest = rest.min(359_999.0) as u64;
        format!(
            ", {}:{:02}:{:02} left",
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    });
    Some(format!(
        "[{}{}] {:3.0} %  slice {} of {}, {:.2}x{left}",
        "#".repeat(full.min(BAR_WIDTH)),
        "-".repeat(BAR_WIDTH - full.min(BAR_WIDTH)),
        done * 100.0,
        running.slice + 1,
        running.slices,
        running.speed
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Running;

    #[test]
    fn a_bar_counts_slices_and_time() {
        let running = Running {
            asset: "a".into(),
            slice: 1,
            slices: 4,
            done: 0.5,
            speed: 1.25,
            left_seconds: Some(12.0),
        };
        let report = Report {
            running: vec![running],
            ..Report::default()
        };
        assert_eq!(
            bar(&report).unwrap(),
            "[###########-------------------]  38 %  slice 2 of 4, 1.25x, 0:01:00 left"
        );
        assert_eq!(bar(&Report::default()), None);
    }
}
