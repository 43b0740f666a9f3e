//! Every metric of the origin, defined once. `docs/ref/metrics.md` lists the same names; a test
//! compares.

use service::metrics::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

/// Handles to the origin's metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Open RTMP connections.
    pub connections: IntGauge,
    refused: IntCounterVec,
    /// Bytes of audio and video received.
    pub ingest_bytes: IntCounter,
    /// Damaged FLV tags skipped.
    pub damaged_tags: IntCounter,
    /// What was left out of publishers' media, by track and reason.
    pub skipped: IntCounterVec,
    /// What was put right in publishers' media, by kind.
    pub repaired: IntCounterVec,
    /// Live streams.
    pub streams: IntGauge,
    /// Streams that should be locked to the peer's and are not.
    pub streams_unlocked: IntGauge,
    /// Discontinuities by reason.
    pub discontinuities: IntCounterVec,
    /// Media that stands in for a track that has stopped, by stream and track.
    pub filled: IntCounterVec,
    /// Ingest bitrate by stream.
    pub ingest_bitrate: IntGaugeVec,
    /// Ingest frame rate by stream.
    pub ingest_frame_rate: GaugeVec,
    /// GOP length by stream.
    pub ingest_gop: GaugeVec,
    /// Ingest jitter by stream.
    pub ingest_jitter: GaugeVec,
    /// Bytes of media held in RAM by stream.
    pub window_bytes: IntGaugeVec,
    /// Bytes of segments on disk: listed and recently removed ones.
    pub segment_store_bytes: IntGauge,
    /// 1 while a rung is shed, by stream and rung.
    pub rung_shed: IntGaugeVec,
    /// Times a rung was shed, by stream and rung.
    pub rung_sheds: IntCounterVec,
    /// 1 while a rung's encoder gives errors, by stream and rung.
    pub rung_failed: IntGaugeVec,
    /// Times a rung's encoder failed, by stream and rung.
    pub rung_failures: IntCounterVec,
    /// Access units not recorded because the recorder was behind.
    pub recorder_dropped: IntCounter,
    /// Bytes recorded that the store has not confirmed.
    pub recorder_unconfirmed: IntGauge,
    /// HTTP requests by kind and status class.
    pub requests: IntCounterVec,
    /// Requests that wait for a part or playlist now.
    pub blocked: IntGauge,
    /// 1 while a stream is locked to the peer's.
    pub pairing_locked: IntGaugeVec,
    /// How much later than at the peer media arrives, by stream.
    pub pairing_offset: IntGaugeVec,
    /// What was compared with the peer's and differs, by stream.
    pub pairing_disagreements: IntCounterVec,
    /// Questions to the peer by outcome.
    pub pairing_questions: IntCounterVec,
    /// Violations our own playlists would be charged with, by rule.
    pub violations: IntCounterVec,
}

impl Metrics {
    /// Defines them.
    pub fn new(registry: &Registry) -> Self {
        let stream = &["stream"];
        let rung = &["stream", "rung"];
        Self {
            connections: registry.gauge(
                "origin_rtmp_connections",
                "connections",
                "Open RTMP connections.",
            ),
            refused: registry.counter_vec(
                "origin_rtmp_refused_total",
                "connections",
                "RTMP connections refused or ended for bad input.",
                &["reason"],
            ),
            ingest_bytes: registry.counter(
                "origin_ingest_bytes_total",
                "bytes",
                "Audio, video and script bytes received from publishers.",
            ),
            damaged_tags: registry.counter(
                "origin_ingest_damaged_total",
                "tags",
                "Damaged FLV tags skipped.",
            ),
            skipped: registry.counter_vec(
                "origin_ingest_skipped_total",
                "tags",
                "Parts of publishers' media left out: damaged, of another codec, or of a further track.",
                &["track", "reason"],
            ),
            repaired: registry.counter_vec(
                "origin_ingest_repaired_total",
                "repairs",
                "Faults of publishers' media put right.",
                &["kind"],
            ),
            streams: registry.gauge(
                "origin_streams",
                "streams",
                "Streams that have a publisher now.",
            ),
            streams_unlocked: registry.gauge(
                "origin_streams_unlocked",
                "streams",
                "Streams published here for half a minute without the lock to the peer that they should have.",
            ),
            discontinuities: registry.counter_vec(
                "origin_discontinuities_total",
                "discontinuities",
                "Timeline breaks announced to viewers.",
                &["stream", "reason"],
            ),
            filled: registry.counter_vec(
                "origin_filled_milliseconds_total",
                "milliseconds",
                "Silence, or the last keyframe again, published instead of a track that had stopped.",
                &["stream", "track"],
            ),
            ingest_bitrate: registry.gauge_vec(
                "origin_ingest_bits_per_second",
                "bits per second",
                "Bitrate received, averaged over 5 s.",
                stream,
            ),
            ingest_frame_rate: registry.gauge_f64_vec(
                "origin_ingest_frames_per_second",
                "frames per second",
                "Video access units received, averaged over 5 s.",
                stream,
            ),
            ingest_gop: registry.gauge_f64_vec(
                "origin_ingest_gop_seconds",
                "seconds",
                "Time between the last two keyframes received.",
                stream,
            ),
            ingest_jitter: registry.gauge_f64_vec(
                "origin_ingest_jitter_milliseconds",
                "milliseconds",
                "Mean difference between arrival spacing and timestamp spacing of video.",
                stream,
            ),
            window_bytes: registry.gauge_vec(
                "origin_window_bytes",
                "bytes",
                "Media held in memory for viewers.",
                stream,
            ),
            segment_store_bytes: registry.gauge(
                "origin_shelf_bytes",
                "bytes",
                "Segments on disk: listed ones for a process that follows this one, removed ones for viewers with an old playlist.",
            ),
            rung_shed: registry.gauge_vec(
                "origin_rung_shed",
                "rungs",
                "1 while a rung is shed.",
                rung,
            ),
            rung_sheds: registry.counter_vec(
                "origin_rung_sheds_total",
                "rungs",
                "Times a rung was shed because the machine could not keep up.",
                rung,
            ),
            rung_failed: registry.gauge_vec(
                "origin_rung_failed",
                "rungs",
                "1 while a rung's encoder gives errors.",
                rung,
            ),
            rung_failures: registry.counter_vec(
                "origin_rung_failures_total",
                "rungs",
                "Times a rung's encoder gave an error; the rung is tried again.",
                rung,
            ),
            recorder_dropped: registry.counter(
                "origin_recorder_dropped_total",
                "access units",
                "Access units not recorded because the disk was behind.",
            ),
            recorder_unconfirmed: registry.gauge(
                "origin_recorder_unconfirmed_bytes",
                "bytes",
                "Bytes recorded that wait on the disk for the store to confirm them.",
            ),
            requests: registry.counter_vec(
                "origin_requests_total",
                "requests",
                "HTTP requests answered.",
                &["kind", "status"],
            ),
            blocked: registry.gauge(
                "origin_blocked_requests",
                "requests",
                "Requests waiting for media now.",
            ),
            pairing_locked: registry.gauge_vec(
                "origin_twin_locked",
                "streams",
                "1 while both origins publish the stream under the same URLs with the same bytes.",
                stream,
            ),
            pairing_offset: registry.gauge_vec(
                "origin_twin_offset_milliseconds",
                "milliseconds",
                "How much later than at the peer media arrives here.",
                stream,
            ),
            pairing_disagreements: registry.counter_vec(
                "origin_twin_disagreements_total",
                "comparisons",
                "Segments that differ from the peer's of the same URL.",
                stream,
            ),
            pairing_questions: registry.counter_vec(
                "origin_twin_questions_total",
                "requests",
                "Questions to the peer.",
                &["outcome"],
            ),
            violations: registry.counter_vec(
                "origin_playlist_violations_total",
                "violations",
                "Rules that our own playlists broke, as the conformance checks see it.",
                &["rule"],
            ),
        }
    }

    /// The counter of refusals for `reason`: `connections`, `publish` or `protocol`.
    pub fn refused(&self, reason: &str) -> IntCounter {
        self.refused.with_label_values(&[reason])
    }
}
