//! Names and remedies of what ingest puts right or leaves out.

use crate::MediaKind;

macro_rules! told {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $label:literal, $remedy:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vmeta])* $variant),+ }

        impl $name {
            /// Every one, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The name used in logs, metrics and JSON.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $label),+ }
            }

            /// What to do about it, in plain words.
            pub const fn remedy(self) -> &'static str {
                match self { $($name::$variant => $remedy),+ }
            }
        }
    };
}

told! {
    /// What was wrong with a publisher's media and is put right. Viewers see nothing of it.
    Repair {
        /// The record's profile, level, length size or layout is not that of its parameter sets.
        SequenceHeader = "sequence-header",
            "none needed: the header was made anew from the parameter sets; update the encoder";
        /// A sequence parameter set is damaged behind the picture size.
        ParameterSet = "parameter-set",
            "none needed: what follows the fault is ignored; update the encoder";
        /// A sequence parameter set names a level that its size and rate exceed.
        Level = "level",
            "none needed: players are told the right level; set the encoder's level to automatic";
        /// Parameter sets in band differ from the header, or there was none.
        InbandParameterSets = "inband-parameter-sets",
            "none needed: the sets in band hold; update the encoder";
        /// A keyframe flag that the picture contradicts.
        KeyframeFlag = "keyframe-flag",
            "none needed: the picture itself decides; update the encoder";
        /// SEI, delimiters or parameter sets came without a picture and were joined to the next.
        WithoutPicture = "without-picture",
            "none needed: joined to the picture that follows; update the encoder";
        /// NAL units of no bytes.
        EmptyNalUnit = "empty-nal-unit",
            "none needed: left out; update the encoder";
        /// Up to three bytes behind the last NAL unit.
        StrayBytes = "stray-bytes",
            "none needed: left out; update the encoder";
        /// Annex B start codes where lengths belong.
        StartCodes = "start-codes",
            "none needed: converted; set the encoder to AVCC, or update it";
        /// NAL unit lengths of another size than the header says.
        LengthSize = "length-size",
            "none needed: read by the size that fits; update the encoder";
        /// ADTS headers around AAC frames.
        Adts = "adts",
            "none needed: taken off; set the encoder to raw AAC";
        /// A program config element that describes an ordinary channel layout.
        ProgramConfig = "program-config",
            "none needed: named by its number; set the encoder to stereo or 5.1";
    }
}

told! {
    /// Why something was left out.
    SkipReason {
        /// Bytes that cannot be what they say.
        Damaged = "damaged",
            "check the network between encoder and origin; restart the encoder";
        /// A codec that is recognised but not carried.
        Codec = "codec",
            "set the encoder to H.264 video and AAC audio";
        /// A configuration that nothing could be decoded with.
        Config = "config",
            "restart the encoder; set it to H.264 and AAC-LC";
        /// Media before its configuration.
        NoConfig = "no-config",
            "restart the encoder: it must send its sequence headers first";
        /// A track beside the first of its kind.
        OtherTrack = "other-track",
            "none needed: only the first track of each kind is served";
        /// Metadata that cannot be read.
        Metadata = "metadata",
            "none needed: metadata is for information alone";
    }
}

/// What was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The track it belongs to, where it is one's.
    pub kind: Option<MediaKind>,
    /// Why.
    pub reason: SkipReason,
    /// What it was, with the value, the limit and the remedy.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_and_remedies_are_sentences() {
        let repairs = Repair::ALL.iter().map(|r| (r.name(), r.remedy()));
        let reasons = SkipReason::ALL.iter().map(|r| (r.name(), r.remedy()));
        let mut names: Vec<&str> = Vec::new();
        for (name, remedy) in repairs.chain(reasons) {
            let is_label = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(name.chars().all(is_label) && remedy.len() > 20, "{name}");
            names.push(name);
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Repair::ALL.len() + SkipReason::ALL.len());
    }
}
