//! A peer that has shaken hands, or is publishing, and then sends anything, cut anywhere.
//!
//! The first byte says where it stands, the second how the network cuts. Beside not panicking, a
//! session must raise the same events however its input is cut.
#![no_main]

use std::{sync::OnceLock, time::Duration};

use libfuzzer_sys::fuzz_target;
use rtmp::{
    Error, HANDSHAKE_BYTES, client,
    server::{Event, Limits, Session},
};

const NOW: Duration = Duration::from_secs(1);

/// The bytes of a client up to the accepted publish.
fn opening() -> &'static [u8] {
    static OPENING: OnceLock<Vec<u8>> = OnceLock::new();
    OPENING.get_or_init(|| {
        let url = "rtmp://host/live/test?key=k"
            .parse()
            .expect("a publish URL");
        let mut client = client::Session::publish_to(&url).expect("a client");
        let (mut server, mut sent) = (Session::new(Limits::default()), Vec::new());
        while !client.is_ready() {
            while let Some(bytes) = client.next_output() {
                sent.extend_from_slice(&bytes);
                run(&mut server, &bytes).1.expect("a publish");
            }
            while let Some(bytes) = server.next_output() {
                client.push(&bytes, NOW).expect("an answer");
            }
        }
        sent
    })
}

fn run(session: &mut Session, bytes: &[u8]) -> (Vec<Event>, Result<(), Error>) {
    let (mut events, mut result) = (Vec::new(), session.push(bytes, NOW));
    while let Some(event) = session.next_event() {
        if let Event::PublishRequested(request) = &event {
            result = result.and(session.accept(request.id));
        }
        events.push(event);
    }
    (events, result)
}

fn started(publishing: bool) -> Session {
    let mut session = Session::new(Limits::default());
    let bytes = if publishing {
        opening()
    } else {
        &opening()[..HANDSHAKE_BYTES]
    };
    run(&mut session, bytes).1.expect("a legal opening");
    while session.next_output().is_some() {}
    session
}

fuzz_target!(|data: &[u8]| {
    let [place, piece, rest @ ..] = data else {
        return;
    };
    let publishing = place & 1 == 1;
    let (whole, result) = run(&mut started(publishing), rest);

    let mut session = started(publishing);
    let mut events = Vec::new();
    for piece in rest.chunks(usize::from(*piece).max(1)) {
        let (more, result) = run(&mut session, piece);
        events.extend(more);
        if result.is_err() {
            break;
        }
        while session.next_output().is_some() {}
    }
    if result.is_ok() {
        assert_eq!(events, whole);
    }
    let _ = session.handle_timeout(NOW * 100);
});
