//! Who a viewer is, as far as limits and logs need it.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderMap;
use service::http::Peer;

use crate::config::Network;

/// AddressLimits that have requests open; one more is not limited rather than refused.
const ADDRESSES_MAX: usize = 100_000;

/// The viewer's address: the connection's, or, behind trusted proxies, the last address in
/// `X-Forwarded-For` that is not one of theirs (anything before it, the viewer may have made up).
pub fn client_address(headers: &HeaderMap, peer: Peer, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.address.ip();
    if !is_trusted(client) {
        return client;
    }
    let values = headers.get_all("x-forwarded-for").iter();
    let lists: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    for item in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        let Ok(address) = item.trim().parse::<IpAddr>() else {
            break;
        };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// Open requests by address.
#[derive(Debug)]
pub struct AddressLimits {
    limit: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One open request; dropping it gives the permit back.
#[derive(Debug)]
pub struct Permit {
    addresses: Arc<AddressLimits>,
    address: IpAddr,
}

impl AddressLimits {
    /// At most `limit` for one address.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Mutex::default(),
        }
    }

    /// A permit for one more request, unless `address` has all of its own.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() < ADDRESSES_MAX || open.contains_key(&address) {
            let count = open.entry(address).or_default();
            if *count >= self.limit {
                return None;
            }
            *count += 1;
        }
        Some(Permit {
            addresses: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self
            .addresses
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &'static str) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let peer = Peer {
            address: format!("{peer}:999").parse().unwrap(),
            is_tls: false,
        };
        let name = http::HeaderName::from_static("x-forwarded-for");
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(forwarded))]);
        client_address(&headers, peer, &trusted).to_string()
    }

    #[test]
    fn forwarded_addresses_are_believed_only_from_trusted_proxies() {
        assert_eq!(client("198.51.100.1", "203.0.113.9"), "198.51.100.1");
        assert_eq!(client("10.0.0.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(
            client("10.0.0.1", "6.6.6.6, 203.0.113.9, 10.2.2.2"),
            "203.0.113.9"
        );
        assert_eq!(client("10.0.0.1", "garbage"), "10.0.0.1");
        assert_eq!(client("10.0.0.1", "10.3.3.3"), "10.3.3.3");
    }

    #[test]
    fn one_address_has_so_many_permits() {
        let addresses = Arc::new(AddressLimits::new(2));
        let (a, b) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let permits = (addresses.enter(a), addresses.enter(a));
        assert!(addresses.enter(a).is_none() && addresses.enter(b).is_some());
        drop(permits);
        assert!(addresses.enter(a).is_some());
        assert!(addresses.open.lock().unwrap().is_empty());
    }
}
