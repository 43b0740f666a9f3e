//! Sends FFmpeg's log lines to tracing, never to stderr.
//!
//! A damaged publish makes a decoder write thousands of lines a second, so they pass at
//! [`LINES_PER_SECOND_MAX`] and stay at low levels: what an operator must know comes as an error or
//! event from the code that meets it.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    sync::{
        Once, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use ffmpeg_next::ffi;

/// FFmpeg lines passed on per second: enough for the reason of a failure, too few to hurt when
/// every packet is bad.
pub const LINES_PER_SECOND_MAX: u64 = 20;

/// The longest line kept, in bytes; longer ones are cut.
const LINE_BYTES_MAX: usize = 1024;

static INSTALL: Once = Once::new();
static STARTED: OnceLock<Instant> = OnceLock::new();
static FORMAT_LINE: AtomicUsize = AtomicUsize::new(0);
/// Second since start (upper half) and lines passed in it (lower half).
static BUDGET: AtomicU64 = AtomicU64::new(0);

type Callback<V> = unsafe extern "C" fn(*mut c_void, c_int, *const c_char, V);
type FormatLine<V> = unsafe extern "C" fn(
    *mut c_void,
    c_int,
    *const c_char,
    V,
    *mut c_char,
    c_int,
    *mut c_int,
) -> c_int;

/// Sends FFmpeg's log to tracing. Cheap to call again.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        STARTED.get_or_init(Instant::now);
        install_as(ffi::av_log_set_callback, ffi::av_log_format_line2);
    });
}

/// `V` is C's `va_list`, whose Rust name differs by platform: it is inferred from FFmpeg's own two
/// functions.
fn install_as<V>(set: unsafe extern "C" fn(Option<Callback<V>>), format: FormatLine<V>) {
    FORMAT_LINE.store(format as usize, Ordering::Release);
    // SAFETY: FFmpeg keeps the pointer for good and `line` is a function of the program, valid for
    // good; its argument types are those FFmpeg declares.
    unsafe { set(Some(line::<V>)) }
}

unsafe extern "C" fn line<V>(source: *mut c_void, level: c_int, format: *const c_char, args: V) {
    if level > ffi::AV_LOG_WARNING as c_int || !within_budget() {
        return;
    }
    let address = FORMAT_LINE.load(Ordering::Acquire);
    if address == 0 {
        return;
    }
    // SAFETY: the address was stored by `install_as::<V>` from a function of exactly this type.
    let format_line = unsafe { std::mem::transmute::<usize, FormatLine<V>>(address) };
    let mut text = [0u8; LINE_BYTES_MAX];
    let mut prefix: c_int = 1;
    // SAFETY: source, format and args are FFmpeg's own and passed on once; the buffer's length is
    // given.
    unsafe {
        format_line(
            source,
            level,
            format,
            args,
            text.as_mut_ptr().cast(),
            LINE_BYTES_MAX as c_int,
            &mut prefix,
        );
    }
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    let text = text.to_string_lossy();
    let text = text.trim_end();
    if level <= ffi::AV_LOG_ERROR as c_int {
        tracing::debug!(target: "ffmpeg", "{text}");
    } else {
        tracing::trace!(target: "ffmpeg", "{text}");
    }
}

fn within_budget() -> bool {
    let second = STARTED.get_or_init(Instant::now).elapsed().as_secs() & 0xffff_ffff;
    let taken = BUDGET.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |budget| {
        match (budget >> 32 == second, budget & 0xffff_ffff) {
            (true, lines) if lines >= LINES_PER_SECOND_MAX => None,
            (true, _) => Some(budget + 1),
            (false, _) => Some((second << 32) | 1),
        }
    });
    taken.is_ok()
}
