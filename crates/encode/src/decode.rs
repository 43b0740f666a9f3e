//! Decodes length-prefixed H.264 access units.
//!
//! Units are numbered by the caller and a picture comes with its unit's number; times are not the
//! decoder's business.

use ffmpeg_next::{
    self as ffmpeg, Packet, codec, decoder, ffi,
    frame::{self, Video},
};
use media::VideoConfig;

use crate::{
    Error, Picture,
    error::{Attempt, is_again},
};

/// Decodes one track; see the module.
pub(crate) struct Decoder {
    decoder: decoder::Opened,
}

/// What became of a unit's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Taken,
    /// Take pictures first, then send it again.
    Full,
}

impl Decoder {
    /// Opens the decoder with `threads` threads, each of which delays pictures by one.
    pub(crate) fn open(config: &VideoConfig, threads: u8) -> Result<Self, Error> {
        let (id, record) = match config {
            VideoConfig::Avc(config) => (codec::Id::H264, config.record()),
        };
        crate::init();
        let codec = decoder::find(id).ok_or(ffmpeg::Error::DecoderNotFound);
        let codec = codec.attempt(|| format!("decode {id:?}"))?;
        let mut context = codec::Context::new_with_codec(codec);
        let frames = threads > 1;
        // SAFETY: plain fields of a context that is not open yet, after the check that there is
        // one.
        let allocated = unsafe {
            let context = context.as_mut_ptr();
            if !context.is_null() {
                (*context).thread_count = i32::from(threads.max(1));
                let slices = ffi::FF_THREAD_SLICE;
                let kind = if frames {
                    slices | ffi::FF_THREAD_FRAME
                } else {
                    slices
                };
                (*context).thread_type = kind;
            }
            !context.is_null() && set_extradata(context, record)
        };
        if !allocated {
            let errno = libc::ENOMEM;
            return Err(ffmpeg::Error::Other { errno }).attempt(|| "allocate a decoder".to_owned());
        }
        let (width, height) = config.dimensions();
        let opened = context.decoder().open_as(codec);
        let decoder = opened.attempt(|| format!("open the {id:?} decoder for {width}x{height}"))?;
        Ok(Self { decoder })
    }

    /// Hands over one access unit.
    pub(crate) fn send(&mut self, payload: &[u8], number: i64) -> Result<Sent, ffmpeg::Error> {
        let mut packet = Packet::copy(payload);
        packet.set_pts(Some(number));
        packet.set_dts(Some(number));
        match self.decoder.send_packet(&packet) {
            Ok(()) => Ok(Sent::Taken),
            Err(e) if is_again(&e) => Ok(Sent::Full),
            Err(e) => Err(e),
        }
    }

    /// No more units will come; what is inside can be received.
    pub(crate) fn send_end(&mut self) -> Result<(), ffmpeg::Error> {
        self.decoder.send_eof()
    }

    /// The next picture in presentation order and its unit's number.
    pub(crate) fn receive(&mut self) -> Result<Option<(Picture, i64)>, ffmpeg::Error> {
        let mut frame = Video::empty();
        let base: &mut frame::Frame = &mut frame;
        match self.decoder.receive_frame(base) {
            Ok(()) => {
                let number = frame.pts().unwrap_or(-1);
                Ok(Some((Picture::from_frame(frame), number)))
            }
            Err(e) if is_again(&e) || e == ffmpeg::Error::Eof => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Forgets everything; the next unit must be a sync unit.
    pub(crate) fn flush(&mut self) {
        self.decoder.flush();
    }
}

/// Gives `context` its own copy of `record`.
///
/// # Safety
/// `context` is valid, not open, and has no extradata.
pub(crate) unsafe fn set_extradata(context: *mut ffi::AVCodecContext, record: &[u8]) -> bool {
    let padded = record.len() + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
    let Ok(size) = i32::try_from(record.len()) else {
        return false;
    };
    // SAFETY: the new buffer has room for the record and the zeroed padding FFmpeg reads over; the
    // context owns it.
    unsafe {
        let copy = ffi::av_mallocz(padded).cast::<u8>();
        if copy.is_null() {
            return false;
        }
        std::ptr::copy_nonoverlapping(record.as_ptr(), copy, record.len());
        (*context).extradata = copy;
        (*context).extradata_size = size;
    }
    true
}
