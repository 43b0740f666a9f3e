//! Configuration records, and a payload walked with the configuration that came before it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::{aac, avc};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(config) = aac::Config::parse(bytes.clone()) {
        assert!(config.sample_rate() > 0 && config.channels() > 0 && config.frame_samples() > 0);
        assert!(config.rfc6381().starts_with("mp4a.40."));
    }
    if let Ok(config) = avc::Config::parse(bytes) {
        assert!(config.width() > 0 && config.height() > 0);
        assert_eq!(config.rfc6381().len(), "avc1.64001f".len());
        let mut units = config.nal_units(data);
        let walked: usize = units
            .by_ref()
            .map(|unit| unit.len() + config.nal_length_bytes())
            .sum();
        assert_eq!(walked + units.rest().len(), data.len());
    }
});
