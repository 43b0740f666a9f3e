//! Parameter sets in front of a keyframe's slices (ISO/IEC 14496-10 §7.4.1.2.3).

use media::{AccessUnit, Track};

/// The unit with its track's parameter sets in front; as it is where it has its own, or is no
/// keyframe of a video track.
pub(super) fn repeated(mut unit: AccessUnit, track: &Track) -> AccessUnit {
    let repeated = match track {
        Track::Video(video) if unit.is_sync() => video.config.with_parameter_sets(&unit.payload),
        Track::Video(_) | Track::Audio(_) => None,
    };
    unit.payload = repeated.unwrap_or(unit.payload);
    unit
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::{MediaKind, RandomAccess, avc};

    use super::*;

    const SETS: [&[u8]; 2] = [
        &[
            0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0x1b, 0x01, 0x10, 0x00, 0x00,
            0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x19, 0x60,
        ],
        &[0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0],
    ];
    const SLICE: &[u8] = &[0x65, 1, 2, 3];
    const AUD: &[u8] = &[0x09, 0xf0];

    fn track(length_bytes: u8) -> Track {
        let mut record = vec![1, 0x64, 0, 0x1f, 0xfc | (length_bytes - 1)];
        for (set, count) in SETS.into_iter().zip([0xe1, 1]) {
            record.push(count);
            record.extend((set.len() as u16).to_be_bytes());
            record.extend(set);
        }
        Track::video(avc::Config::parse(Bytes::from(record)).unwrap())
    }

    fn unit(nals: &[&[u8]], length_bytes: usize, is_sync: bool) -> AccessUnit {
        let with_length = |nal: &&[u8]| {
            let length = (nal.len() as u32).to_be_bytes();
            [&length[4 - length_bytes..], nal].concat()
        };
        AccessUnit {
            kind: MediaKind::Video,
            dts: 0,
            pts: 0,
            duration: 1,
            random_access: RandomAccess::idr_if(is_sync),
            payload: nals
                .iter()
                .flat_map(with_length)
                .collect::<Vec<u8>>()
                .into(),
        }
    }

    #[test]
    fn they_stand_before_the_first_slice_and_after_a_delimiter() {
        for bytes in [1, 2, 4] {
            let track = track(bytes);
            let unit = |nals: &[&[u8]]| unit(nals, bytes.into(), true);
            assert_eq!(
                repeated(unit(&[SLICE]), &track),
                unit(&[SETS[0], SETS[1], SLICE])
            );
            let expected = unit(&[AUD, SETS[0], SETS[1], SLICE]);
            assert_eq!(repeated(unit(&[AUD, SLICE]), &track), expected);
        }
    }

    #[test]
    fn units_that_have_them_or_need_none_stay_as_they_are() {
        let track = track(4);
        for unit in [
            unit(&[SETS[0], SETS[1], SLICE], 4, true),
            unit(&[&[0x41, 1]], 4, false),
        ] {
            assert_eq!(repeated(unit.clone(), &track), unit);
        }
    }
}
