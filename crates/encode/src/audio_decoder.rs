//! Decodes audio of any codec FFmpeg knows into what [`crate::audio::Encoder`] takes.
//!
//! Whatever comes in (rate, channels, sample format, also when they change on the way), planar
//! float samples of one rate and channel count come out, each run of them with its time. What this
//! does not do: fill holes or repair times; the caller places the samples.

use ffmpeg_next::{
    self as ffmpeg, ChannelLayout, Packet, codec, decoder, ffi, filter, format, frame,
};

use crate::{
    Error,
    error::{Attempt, is_again},
    file_demuxer::CodedPacket,
};

/// A codec without a container around it.
#[derive(Clone, Copy, Debug)]
pub struct AudioFormat<'a> {
    /// FFmpeg's name of the decoder: `mp3`, `pcm_alaw`, `speex`, `opus`, `aac`, `aac_latm` …
    pub codec: &'a str,
    /// Samples per second, where the codec does not say it itself; else 0.
    pub sample_rate: u32,
    /// Channels, where the codec does not say them itself; else 0.
    pub channels: u8,
    /// The codec's own configuration; may be empty.
    pub extradata: &'a [u8],
    /// Ticks per second of the times that are pushed.
    pub ticks_per_second: u32,
}

/// What the samples are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioOutput {
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels: 1, 2 or 6, in FFmpeg's order.
    pub channels: u8,
}

/// Decoded samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// The first one's time in output samples.
    pub pts: i64,
    /// One vector per channel, all of one length.
    pub planes: Vec<Vec<f32>>,
}

impl Samples {
    /// Samples per channel.
    pub fn len(&self) -> usize {
        self.planes.first().map_or(0, Vec::len)
    }

    /// Without any sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An open decoder with its resampler.
pub struct AudioDecoder {
    decoder: decoder::Audio,
    time_base: (i32, i32),
    output: AudioOutput,
    resampler: Option<Resampler>,
    /// Packets that could not be decoded.
    damaged: u64,
    /// Where the next run of samples begins when its packet does not say.
    next_pts: i64,
}

/// A filter graph for one shape of input.
struct Resampler {
    graph: filter::Graph,
    shape: Shape,
}

type Shape = (format::Sample, u32, u64);

impl std::fmt::Debug for AudioDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioDecoder")
            .field("output", &self.output)
            .field("damaged", &self.damaged)
            .finish_non_exhaustive()
    }
}

impl AudioDecoder {
    /// Opens a decoder by name.
    pub fn open(input: &AudioFormat<'_>, output: AudioOutput) -> Result<Self, Error> {
        crate::init();
        let action = || format!("decode {} audio", input.codec);
        let codec = decoder::find_by_name(input.codec).ok_or(ffmpeg::Error::DecoderNotFound);
        let codec = codec.attempt(action)?;
        let mut context = codec::Context::new_with_codec(codec);
        let rate = i32::try_from(input.sample_rate).unwrap_or(0);
        // SAFETY: plain fields of a context that is not open yet, after the check that there is
        // one.
        let allocated = unsafe {
            let context = context.as_mut_ptr();
            if !context.is_null() {
                (*context).sample_rate = rate;
            }
            !context.is_null()
                && (input.extradata.is_empty()
                    || crate::decode::set_extradata(context, input.extradata))
        };
        if !allocated {
            let errno = libc::ENOMEM;
            return Err(ffmpeg::Error::Other { errno }).attempt(action);
        }
        let mut context = context.decoder();
        if input.channels > 0 {
            set_layout(&mut context, ChannelLayout::default(input.channels.into()));
        }
        let ticks = i32::try_from(input.ticks_per_second.max(1)).unwrap_or(i32::MAX);
        context.set_packet_time_base((1, ticks));
        let opened = context.open_as(codec).and_then(|opened| opened.audio());
        Ok(Self::new(opened.attempt(action)?, (1, ticks), output))
    }

    /// Opens the decoder of a file's stream.
    pub(crate) fn of_stream(
        stream: &ffmpeg::Stream<'_>,
        output: AudioOutput,
    ) -> Result<Self, Error> {
        let action = || format!("decode {:?} audio", stream.parameters().id());
        let context = codec::Context::from_parameters(stream.parameters()).attempt(action)?;
        let mut context = context.decoder();
        let base = stream.time_base();
        context.set_packet_time_base(base);
        let base = (base.numerator().max(1), base.denominator().max(1));
        let opened = context.audio().attempt(action)?;
        Ok(Self::new(opened, base, output))
    }

    fn new(decoder: decoder::Audio, time_base: (i32, i32), output: AudioOutput) -> Self {
        Self {
            decoder,
            time_base,
            output,
            resampler: None,
            damaged: 0,
            next_pts: 0,
        }
    }

    /// Packets that could not be decoded so far.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Decodes one packet; what cannot be decoded is counted and gives nothing.
    pub fn push(&mut self, payload: &[u8], pts: i64) -> Result<Vec<Samples>, Error> {
        let mut packet = Packet::copy(payload);
        packet.set_pts(Some(pts));
        packet.set_dts(Some(pts));
        self.push_packet(&packet)
    }

    /// Decodes one packet of the file's stream that the decoder was opened for.
    pub fn push_coded(&mut self, packet: &CodedPacket) -> Result<Vec<Samples>, Error> {
        self.push_packet(packet.packet())
    }

    fn push_packet(&mut self, packet: &Packet) -> Result<Vec<Samples>, Error> {
        let mut out = Vec::new();
        match self.decoder.send_packet(packet) {
            Ok(()) => {}
            Err(e) if is_again(&e) => {
                self.receive(&mut out)?;
                if self.decoder.send_packet(packet).is_err() {
                    self.damaged += 1;
                }
            }
            Err(_) => self.damaged += 1,
        }
        self.receive(&mut out)?;
        Ok(out)
    }

    /// No more packets come; gives what was still inside. The decoder can be used again after
    /// [`AudioDecoder::flush`].
    pub fn finish(&mut self) -> Result<Vec<Samples>, Error> {
        let mut out = Vec::new();
        if self.decoder.send_eof().is_ok() {
            self.receive(&mut out)?;
        }
        self.end_resampler(&mut out)?;
        Ok(out)
    }

    /// Forgets everything: the next packet does not follow from the last one.
    pub fn flush(&mut self) {
        self.decoder.flush();
        self.resampler = None;
    }

    fn receive(&mut self, out: &mut Vec<Samples>) -> Result<(), Error> {
        loop {
            let mut frame = frame::Audio::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) => self.resample(frame, out)?,
                Err(e) if is_again(&e) || e == ffmpeg::Error::Eof => return Ok(()),
                Err(_) => {
                    self.damaged += 1;
                    return Ok(());
                }
            }
        }
    }

    fn resample(&mut self, mut frame: frame::Audio, out: &mut Vec<Samples>) -> Result<(), Error> {
        if frame.samples() == 0 || frame.rate() == 0 || frame.channels() == 0 {
            return Ok(());
        }
        let mut layout = frame.channel_layout();
        if layout.bits() == 0 {
            layout = ChannelLayout::default(frame.channels().into());
            frame.set_channel_layout(layout);
        }
        let shape = (frame.format(), frame.rate(), layout.bits());
        if self
            .resampler
            .as_ref()
            .is_some_and(|open| open.shape != shape)
        {
            self.end_resampler(out)?;
        }
        let (num, den) = self.time_base;
        let pts = frame.timestamp().or(frame.pts()).unwrap_or(self.next_pts);
        let lasts = rescale(frame.samples() as i64, 1, frame.rate(), num, den);
        self.next_pts = pts.saturating_add(lasts);
        frame.set_pts(Some(pts));
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::open(shape, self.time_base, self.output)?),
        };
        resampler.send(&frame)?;
        resampler.drain(self.output, out)
    }

    fn end_resampler(&mut self, out: &mut Vec<Samples>) -> Result<(), Error> {
        if let Some(mut resampler) = self.resampler.take() {
            resampler.end()?;
            resampler.drain(self.output, out)?;
        }
        Ok(())
    }
}

/// `value` of `num / rate` seconds each in units of `to_num / to_den` seconds.
fn rescale(value: i64, num: i32, rate: u32, to_num: i32, to_den: i32) -> i64 {
    let ticks = i128::from(value) * i128::from(num) * i128::from(to_den);
    let per = (i128::from(rate) * i128::from(to_num)).max(1);
    i64::try_from((ticks + per / 2).div_euclid(per)).unwrap_or(i64::MAX)
}

fn set_layout(context: &mut decoder::Decoder, layout: ChannelLayout) {
    // SAFETY: plain fields of a context that is not open yet.
    unsafe {
        let context = context.as_mut_ptr();
        ffi::av_channel_layout_uninit(&raw mut (*context).ch_layout);
        ffi::av_channel_layout_from_mask(&raw mut (*context).ch_layout, layout.bits());
    }
}

impl Resampler {
    fn open(shape: Shape, (num, den): (i32, i32), output: AudioOutput) -> Result<Self, Error> {
        let (format, rate, layout) = shape;
        let find = |name| filter::find(name).ok_or(ffmpeg::Error::FilterNotFound);
        let mut graph = filter::Graph::new();
        let from = format!(
            "time_base={num}/{den}:sample_rate={rate}:sample_fmt={}:channel_layout=0x{layout:x}",
            format.name()
        );
        let to = format!(
            "aresample={rate},aformat=sample_fmts=fltp:sample_rates={rate}:channel_layouts=0x{:x}",
            ChannelLayout::default(output.channels.into()).bits(),
            rate = output.sample_rate,
        );
        let opened = find("abuffer")
            .and_then(|filter| graph.add(&filter, "in", &from).map(|_| ()))
            .and_then(|()| find("abuffersink"))
            .and_then(|filter| graph.add(&filter, "out", "").map(|_| ()))
            .and_then(|()| graph.output("in", 0)?.input("out", 0)?.parse(&to))
            .and_then(|()| graph.validate());
        opened.attempt(|| format!("resample audio of {rate} Hz"))?;
        Ok(Self { graph, shape })
    }

    fn filter(&mut self, name: &str) -> Result<filter::Context, Error> {
        let found = self.graph.get(name).ok_or(ffmpeg::Error::FilterNotFound);
        found.attempt(|| "resample audio".to_owned())
    }

    fn send(&mut self, frame: &frame::Audio) -> Result<(), Error> {
        let mut source = self.filter("in")?;
        let sent = source.source().add(frame);
        sent.attempt(|| "resample audio".to_owned())
    }

    fn end(&mut self) -> Result<(), Error> {
        let mut source = self.filter("in")?;
        let ended = source.source().flush();
        ended.attempt(|| "end resampling audio".to_owned())
    }

    fn drain(&mut self, output: AudioOutput, out: &mut Vec<Samples>) -> Result<(), Error> {
        let mut sink = self.filter("out")?;
        let base = sink.sink().time_base();
        loop {
            let mut frame = frame::Audio::empty();
            match sink.sink().frame(&mut frame) {
                Ok(()) => {}
                Err(e) if is_again(&e) || e == ffmpeg::Error::Eof => return Ok(()),
                Err(e) => return Err(e).attempt(|| "resample audio".to_owned()),
            }
            let rate = i32::try_from(output.sample_rate).unwrap_or(i32::MAX);
            let den = base.denominator().max(1).unsigned_abs();
            let pts = rescale(frame.pts().unwrap_or(0), base.numerator(), den, 1, rate);
            let channels = usize::from(output.channels).min(frame.planes());
            let plane = |index| frame.plane::<f32>(index).to_vec();
            out.push(Samples {
                pts,
                planes: (0..channels).map(plane).collect(),
            });
        }
    }
}
