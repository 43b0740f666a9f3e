//! Reads what players report about themselves: Common Media Client Data (CTA-5004), versions 1 and
//! 2.
//!
//! It comes in the query (`CMCD=…`) or in four headers, and never reaches the cache key or an
//! origin.

use http::HeaderMap;

use super::report::{Report, View};

/// CMCD longer than this is not read.
const BYTES_MAX: usize = 4 << 10;

const HEADERS: [&str; 4] = ["cmcd-session", "cmcd-request", "cmcd-status", "cmcd-object"];

/// What a request says; none when it says nothing.
pub fn parse(query: Option<&str>, headers: &HeaderMap) -> Option<Report> {
    let mut report = Report::default();
    let mut any = false;
    if let Some(value) = query
        .and_then(in_query)
        .filter(|value| value.len() <= BYTES_MAX)
    {
        let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        read(&mut report, &text);
        any = true;
    }
    // One pass over the few names a request has costs less than four look-ups.
    for (name, value) in headers {
        if name.as_str().starts_with("cmcd-")
            && HEADERS.contains(&name.as_str())
            && value.len() <= BYTES_MAX
            && let Ok(value) = value.to_str()
        {
            read(&mut report, value);
            any = true;
        }
    }
    any.then_some(report)
}

fn read(report: &mut Report, text: &str) {
    for item in split_unquoted(text) {
        let (key, value) = item.split_once('=').unwrap_or((item, ""));
        // Version 2 writes some numbers as lists, `(1200;v)`: the first is meant.
        let number = || {
            let digits = value.trim_start_matches('(');
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            digits.get(..end)?.parse::<u32>().ok()
        };
        match key {
            "sid" => {
                let id = value.trim_matches('"');
                report.session = (!id.is_empty() && id.len() <= 64).then(|| id.to_owned());
            }
            "bs" => report.is_starved = value.is_empty() || value == "true" || value == "?1",
            "mtp" => report.throughput_kbps = number(),
            "ltc" => report.latency_ms = number(),
            "msd" => report.start_ms = number(),
            "panocast-view" => report.view = View::parse(value),
            _ => {}
        }
    }
}

fn in_query(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("CMCD="))
}

/// At commas outside of quotes.
fn split_unquoted(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn reports_are_read_from_query_and_headers() {
        let query = "x=1&CMCD=bl%3D21300%2Cbs%2Cltc%3D1850%2Cmtp%3D25400%2C\
            sid%3D%226e2f%2Cb5%22%2Cst%3Dl%2Cpanocast-view%3D%2230.-60%22";
        let report = parse(Some(query), &HeaderMap::new()).unwrap();
        let expected = Report {
            session: Some("6e2f,b5".to_owned()),
            is_starved: true,
            throughput_kbps: Some(25_400),
            latency_ms: Some(1_850),
            start_ms: None,
            view: View::parse("30.-60"),
        };
        assert_eq!(report, expected);
        let mut headers = HeaderMap::new();
        headers.insert("cmcd-session", HeaderValue::from_static("sid=\"a\", sf=h"));
        headers.insert(
            "cmcd-request",
            HeaderValue::from_static("mtp=(900;v),msd=420"),
        );
        let report = parse(None, &headers).unwrap();
        assert_eq!(report.session.as_deref(), Some("a"));
        assert_eq!(
            (report.throughput_kbps, report.start_ms),
            (Some(900), Some(420))
        );
        assert_eq!(parse(Some("_HLS_msn=4"), &HeaderMap::new()), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(query in ".{0,200}") {
            let _ = parse(Some(&format!("CMCD={query}")), &HeaderMap::new());
        }
    }
}
