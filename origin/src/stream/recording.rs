//! The recording of one run, which begins once the run has a whole segment to show.
//!
//! What comes before that waits in memory, where the packager holds it anyway. A publish that is
//! refused at its first picture leaves nothing behind then; one that ends early in good order is
//! recorded all the same.

use media::{AccessUnit, Track};

use crate::recorder::{Handle, Meta, Recorder};

/// Units that wait at most: half a minute of 60 pictures and 47 units of audio a second.
const WAITING_MAX: usize = 4096;

/// What waits.
#[derive(Debug)]
enum Entry {
    Init(Vec<Track>),
    Unit(AccessUnit),
    Discontinuity,
}

/// See the module's text.
#[derive(Debug)]
pub struct Recording {
    recorder: Recorder,
    meta: Meta,
    waiting: Vec<Entry>,
    handle: Option<Handle>,
}

impl Recording {
    /// Nothing is recorded yet.
    pub fn new(recorder: Recorder, meta: Meta) -> Self {
        Self {
            recorder,
            meta,
            waiting: Vec::new(),
            handle: None,
        }
    }

    /// The tracks from here on.
    pub fn init(&mut self, tracks: &[Track]) {
        match &self.handle {
            Some(handle) => handle.init(tracks),
            None => self.wait(Entry::Init(tracks.to_vec())),
        }
    }

    /// The next access unit.
    pub fn push(&mut self, unit: &AccessUnit) {
        match &self.handle {
            Some(handle) => handle.push(unit),
            None => self.wait(Entry::Unit(unit.clone())),
        }
    }

    /// The media after this does not follow from the media before.
    pub fn discontinuity(&mut self) {
        match &self.handle {
            Some(handle) => handle.discontinuity(),
            None => self.wait(Entry::Discontinuity),
        }
    }

    /// The run is worth recording: what waited is written.
    pub fn begin(&mut self) {
        if self.handle.is_some() {
            return;
        }
        let handle = self.recorder.start(self.meta.clone());
        for entry in self.waiting.drain(..) {
            match entry {
                Entry::Init(tracks) => handle.init(&tracks),
                Entry::Unit(unit) => handle.push(&unit),
                Entry::Discontinuity => handle.discontinuity(),
            }
        }
        self.handle = Some(handle);
    }

    /// Whether anything of it is written.
    pub fn has_begun(&self) -> bool {
        self.handle.is_some()
    }

    /// Access units that could not be recorded so far.
    pub fn dropped_units(&self) -> u64 {
        self.handle.as_ref().map_or(0, Handle::dropped_units)
    }

    /// Nothing more comes.
    pub fn finish(mut self) {
        let has_media = self
            .waiting
            .iter()
            .any(|entry| matches!(entry, Entry::Unit(_)));
        if has_media {
            self.begin();
        }
        if let Some(handle) = self.handle {
            handle.finish();
        }
    }

    fn wait(&mut self, entry: Entry) {
        self.waiting.push(entry);
        if self.waiting.len() >= WAITING_MAX {
            self.begin();
        }
    }
}
