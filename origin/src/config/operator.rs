//! `[origin.operator]`: edges and transcoders that the operator page shows.

use serde::Deserialize;
use service::config::{Error, File};

/// Edges, or transcoders, polled at most: each is a request every two seconds.
const POLLED_MAX: usize = 64;

/// `[origin.operator]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorConfig {
    /// Admin addresses of edges.
    pub edges: Vec<String>,
    /// Admin addresses of transcoders.
    pub transcoders: Vec<String>,
    /// Where viewers open the player, for links.
    pub player: Option<String>,
}

impl OperatorConfig {
    /// Refuses what no request could be sent to.
    pub fn check(&self, file: &File) -> Result<(), Error> {
        for (key, list) in [("edges", &self.edges), ("transcoders", &self.transcoders)] {
            let key = format!("origin.operator.{key}");
            if list.len() > POLLED_MAX {
                let reason = format!("{} are too many; name at most {POLLED_MAX}", list.len());
                return Err(file.reject(&key, reason));
            }
            for url in list {
                let plain = url
                    .strip_prefix("http://")
                    .is_some_and(|rest| !rest.is_empty());
                if !plain || url.parse::<http::Uri>().is_err() {
                    let reason = format!("\"{url}\" is no address like \"http://10.0.0.7:9091\"");
                    return Err(file.reject(&key, reason));
                }
            }
        }
        let player = self.player.as_deref().unwrap_or("https://");
        if !player.starts_with("http://") && !player.starts_with("https://") {
            let reason = format!("\"{player}\" is no http or https address");
            return Err(file.reject("origin.operator.player", reason));
        }
        Ok(())
    }
}
