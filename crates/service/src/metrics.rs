//! Metrics defined once, with unit and help, and their text exposition.
//!
//! A role builds one struct of metrics from a [`Registry`]; the registry remembers each definition,
//! so that a test can hold the reference documentation against the list. Names read
//! `<component>_<noun>_<unit>[_total]`; labels are few and never name a viewer.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Encoder, HistogramOpts, Opts, TextEncoder, core::Collector};

pub use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric as documented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Full name.
    pub name: String,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// What one of it is: "bytes", "seconds", "requests".
    pub unit: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Label names.
    pub labels: Vec<&'static str>,
}

/// All metrics of one role; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    inner: prometheus::Registry,
    definitions: Arc<Mutex<Vec<Definition>>>,
}

/// Bucket bounds in seconds for what happens between a cache hit and a blocked playlist.
pub const LATENCY_SECONDS: &[f64] = &[
    0.000_5, 0.002, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

macro_rules! scalar {
    ($(#[$doc:meta])* $method:ident, $type:ty, $kind:expr) => {
        $(#[$doc])*
        pub fn $method(
            &self,
            name: impl Into<String>,
            unit: &'static str,
            help: &'static str,
        ) -> $type {
            let name = name.into();
            let metric = <$type>::with_opts(Opts::new(name.clone(), help));
            self.define(metric, Definition { name, kind: $kind, unit, help, labels: Vec::new() })
        }
    };
}

macro_rules! labelled {
    ($(#[$doc:meta])* $method:ident, $type:ty, $kind:expr) => {
        $(#[$doc])*
        pub fn $method(
            &self,
            name: impl Into<String>,
            unit: &'static str,
            help: &'static str,
            labels: &[&'static str],
        ) -> $type {
            let name = name.into();
            let metric = <$type>::new(Opts::new(name.clone(), help), labels);
            let labels = labels.to_vec();
            self.define(metric, Definition { name, kind: $kind, unit, help, labels })
        }
    };
}

impl Registry {
    /// Nothing defined yet.
    pub fn new() -> Self {
        Self::default()
    }

    scalar!(
        /// Defines a counter.
        counter, IntCounter, Kind::Counter
    );
    scalar!(
        /// Defines a gauge of whole numbers.
        gauge, IntGauge, Kind::Gauge
    );
    scalar!(
        /// Defines a gauge of fractions.
        gauge_f64, Gauge, Kind::Gauge
    );
    labelled!(
        /// Defines a counter with labels.
        counter_vec, IntCounterVec, Kind::Counter
    );
    labelled!(
        /// Defines a gauge of whole numbers with labels.
        gauge_vec, IntGaugeVec, Kind::Gauge
    );
    labelled!(
        /// Defines a gauge of fractions with labels.
        gauge_f64_vec, GaugeVec, Kind::Gauge
    );

    /// Defines a histogram with upper bucket bounds.
    pub fn histogram(
        &self,
        name: impl Into<String>,
        unit: &'static str,
        help: &'static str,
        buckets: &[f64],
    ) -> Histogram {
        let name = name.into();
        let metric =
            Histogram::with_opts(HistogramOpts::new(name.clone(), help).buckets(buckets.to_vec()));
        let labels = Vec::new();
        self.define(
            metric,
            Definition {
                name,
                kind: Kind::Histogram,
                unit,
                help,
                labels,
            },
        )
    }

    /// Defines a histogram with labels.
    pub fn histogram_vec(
        &self,
        name: impl Into<String>,
        unit: &'static str,
        help: &'static str,
        buckets: &[f64],
        labels: &[&'static str],
    ) -> HistogramVec {
        let name = name.into();
        let options = HistogramOpts::new(name.clone(), help).buckets(buckets.to_vec());
        let metric = HistogramVec::new(options, labels);
        let labels = labels.to_vec();
        self.define(
            metric,
            Definition {
                name,
                kind: Kind::Histogram,
                unit,
                help,
                labels,
            },
        )
    }

    /// All definitions so far, by name.
    pub fn definitions(&self) -> Vec<Definition> {
        let mut list = self
            .definitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// The Prometheus text format.
    pub fn text(&self) -> String {
        let mut buffer = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.inner.gather(), &mut buffer) {
            tracing::error!(%error, "cannot write metrics as text");
        }
        String::from_utf8_lossy(&buffer).into_owned()
    }

    /// Definitions are constants of the program: a bad name or a second definition is a mistake of
    /// ours that the first start shows, whatever the input.
    fn define<M: Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<M>,
        definition: Definition,
    ) -> M {
        let metric = metric.unwrap_or_else(|e| panic!("metric {}: {e}", definition.name));
        if let Err(error) = self.inner.register(Box::new(metric.clone())) {
            panic!("metric {}: {error}", definition.name);
        }
        self.definitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(definition);
        metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_listed_and_exposed() {
        let registry = Registry::new();
        let hits = registry.counter_vec(
            "edge_hits_total",
            "requests",
            "Answered from cache.",
            &["kind"],
        );
        registry
            .gauge("edge_entries", "objects", "Objects cached.")
            .set(3);
        registry
            .histogram("edge_wait_seconds", "seconds", "Waits.", LATENCY_SECONDS)
            .observe(0.1);
        hits.with_label_values(&["memory"]).inc_by(2);
        let text = registry.text();
        assert!(
            text.contains("edge_hits_total{kind=\"memory\"} 2"),
            "{text}"
        );
        assert!(
            text.contains("# HELP edge_entries Objects cached."),
            "{text}"
        );
        let names: Vec<String> = registry.definitions().into_iter().map(|d| d.name).collect();
        assert_eq!(
            names,
            ["edge_entries", "edge_hits_total", "edge_wait_seconds"]
        );
    }
}
