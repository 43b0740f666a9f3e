//! Who sends an admin request when it comes from a browser: our own page, or somebody else's?
//!
//! A listener on loopback has no token, yet any page that is open on the same machine can send
//! requests to it: a plain form is enough for `POST /drain`. Browsers name the page in `Origin`
//! whenever it matters, and `Host` always says what the address bar says, so that a foreign name
//! that was made to resolve to 127.0.0.1 is seen too. What is no browser sends neither amiss.

use ::http::{HeaderMap, header, uri::Authority};

/// Why a request is not answered, if so. `has_token`: whether one is demanded, which no foreign
/// page knows; then the listener may have any name.
pub(super) fn refusal(headers: &HeaderMap, has_token: bool) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST);
    if let Some(origin) = headers.get(header::ORIGIN) {
        let from = origin.to_str().ok().and_then(|origin| {
            let (_, authority) = origin.split_once("://")?;
            Some(authority)
        });
        if from.is_none() || from != host {
            return Some("pages of other sites may not ask here".to_owned());
        }
    }
    let named = host?;
    (!has_token && !is_loopback(named)).then(|| {
        format!(
            "without a token this listener answers to 127.0.0.1 and localhost only, not to \
             {named}; use one of them, or set admin_token"
        )
    })
}

fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                let name = ::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn our_own_page_and_plain_tools_are_answered() {
        for list in [
            &[][..],
            &[("host", "127.0.0.1:9090")],
            &[("host", "LOCALHOST")],
            &[("host", "[::1]:9090")],
            &[
                ("host", "localhost:9090"),
                ("origin", "http://localhost:9090"),
            ],
        ] {
            assert_eq!(refusal(&headers(list), false), None, "{list:?}");
        }
        let named = headers(&[
            ("host", "ops.example:9090"),
            ("origin", "https://ops.example:9090"),
        ]);
        assert_eq!(refusal(&named, true), None);
    }

    #[test]
    fn other_pages_and_names_that_were_bent_to_loopback_are_not() {
        for list in [
            &[
                ("host", "127.0.0.1:9090"),
                ("origin", "http://evil.example"),
            ][..],
            &[
                ("host", "127.0.0.1:9090"),
                ("origin", "http://127.0.0.1:8080"),
            ],
            &[("host", "127.0.0.1:9090"), ("origin", "null")],
            &[("host", "evil.example:9090")],
            &[("host", "127.0.0.1.evil.example")],
        ] {
            assert!(refusal(&headers(list), false).is_some(), "{list:?}");
        }
        let foreign = headers(&[("host", "10.0.0.4:9090"), ("origin", "http://evil.example")]);
        assert!(refusal(&foreign, true).is_some(), "a token changes nothing");
    }
}
