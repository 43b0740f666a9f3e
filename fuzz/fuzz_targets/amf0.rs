//! AMF0 from anyone. What reads must write, and read back to the same bytes.
#![no_main]

use flv::amf0;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(values) = amf0::read_all(data) {
        let written = amf0::write_all(&values);
        let again = amf0::read_all(&written).expect("what we write is AMF0");
        // Bytes, because NaN is not equal to itself.
        assert_eq!(amf0::write_all(&again), written);
    }
    let _ = flv::metadata::parse(data);
});
