//! Polls edges and transcoders for their status every two seconds.
//!
//! Only those that config names are asked, with this origin's own admin token. One that does not
//! answer is shown as such: its last words would look alive.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Uri, header};
use serde_json::Value;
use service::{
    Clock, Secret,
    http::{Body, Client, read_all},
};

use crate::{
    api::{AudienceReport, PolledReport},
    config::OperatorConfig,
};

/// How often each is asked.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// One that answers later than this counts as silent: it is on the same network.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// An answer of more bytes is none of ours: hundreds of streams with their maps are a tenth of it.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Who is asked, and what each answered last.
pub struct FleetStatus {
    client: Client,
    clock: Clock,
    token: Option<Secret>,
    edges: Vec<String>,
    transcoders: Vec<String>,
    answers: Mutex<BTreeMap<String, Result<Value, String>>>,
}

impl FleetStatus {
    /// Nobody has been asked yet.
    pub fn new(config: &OperatorConfig, token: Option<Secret>, clock: Clock) -> Self {
        Self {
            client: Client::new(ANSWER_MAX),
            clock,
            token,
            edges: config.edges.clone(),
            transcoders: config.transcoders.clone(),
            answers: Mutex::default(),
        }
    }

    /// Asks all of them, for ever; ends at once where there are none.
    pub async fn run(&self) {
        let edges = self.edges.iter().map(|url| (url, "/api/edge"));
        let workers = self.transcoders.iter().map(|url| (url, "/api/jobs"));
        let all: Vec<_> = edges.chain(workers).collect();
        while !all.is_empty() {
            let mut asked = tokio::task::JoinSet::new();
            for (url, path) in &all {
                let question = self.question(&format!("{}{path}", url.trim_end_matches('/')));
                let (client, url) = (self.client.clone(), (*url).clone());
                asked.spawn(async move { (url, answer(&client, question).await) });
            }
            while let Some(done) = asked.join_next().await {
                if let Ok((url, answer)) = done {
                    self.answers().insert(url, answer);
                }
            }
            self.clock.sleep(ASK_EVERY).await;
        }
    }

    /// Edges and transcoders, in the order of the config.
    pub fn report(&self) -> (Vec<PolledReport>, Vec<PolledReport>) {
        let answers = self.answers();
        let told = |urls: &[String]| {
            let one = |url: &String| {
                let (report, trouble) = match answers.get(url) {
                    Some(Ok(report)) => (Some(report.clone()), None),
                    Some(Err(trouble)) => (None, Some(trouble.clone())),
                    None => (None, None),
                };
                let url = url.clone();
                PolledReport {
                    url,
                    report,
                    trouble,
                }
            };
            urls.iter().map(one).collect()
        };
        (told(&self.edges), told(&self.transcoders))
    }

    /// Who watches `stream` over all edges that answer; `None` where no edge is named.
    pub fn audience(&self, stream: &str) -> Option<AudienceReport> {
        if self.edges.is_empty() {
            return None;
        }
        let answers = self.answers();
        let found = self
            .edges
            .iter()
            .filter_map(|url| answers.get(url)?.as_ref().ok())
            .filter_map(|report| report.get("streams")?.get(stream));
        let mut audience = AudienceReport::default();
        for one in found {
            audience.viewers += one["viewers"].as_u64().unwrap_or(0);
            add(&mut audience.views, &one["views"]);
        }
        Some(audience)
    }

    fn question(&self, url: &str) -> Option<Request<Body>> {
        let mut request = Request::get(url.parse::<Uri>().ok()?);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        request.body(Body::empty()).ok()
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Result<Value, String>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(client: &Client, question: Option<Request<Body>>) -> Result<Value, String> {
    let question = question.ok_or("its address cannot be asked; mend origin.operator")?;
    let asked = client.send(question, ANSWER_MAX).await;
    let response = asked.map_err(|error| error.to_string())?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("it answers {status}; is its admin_token ours?"));
    }
    let body = tokio::time::timeout(ANSWER_MAX, read_all(response.into_body(), ANSWER_BYTES_MAX));
    let body = body.await.map_err(|_| "its answer broke off".to_owned())?;
    let body = body.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body).map_err(|error| format!("its answer is no JSON: {error}"))
}

/// Adds a table of numbers to `sum`, cell by cell.
fn add(sum: &mut Vec<Vec<f64>>, table: &Value) {
    let rows = table.as_array().map(Vec::as_slice).unwrap_or_default();
    sum.resize(sum.len().max(rows.len()), Vec::new());
    for (to, row) in sum.iter_mut().zip(rows) {
        let row = row.as_array().map(Vec::as_slice).unwrap_or_default();
        to.resize(to.len().max(row.len()), 0.0);
        for (to, cell) in to.iter_mut().zip(row) {
            *to += cell.as_f64().unwrap_or(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fleet(edges: &[&str]) -> FleetStatus {
        let config = OperatorConfig {
            edges: edges.iter().map(|url| (*url).to_owned()).collect(),
            ..OperatorConfig::default()
        };
        FleetStatus::new(&config, None, Clock::real())
    }

    #[test]
    fn the_audience_is_that_of_all_edges_that_answer() {
        let all = fleet(&["http://a:1", "http://b:1", "http://c:1"]);
        for (url, answer) in [
            (
                "http://a:1",
                Ok(json!({ "streams": { "s": { "viewers": 2, "views": [[1, 0], [0, 2]] } } })),
            ),
            (
                "http://b:1",
                Ok(json!({ "streams": { "s": { "viewers": 3, "views": [[0.5, 0], [0, 0]] } } })),
            ),
            ("http://c:1", Err("cannot reach c".to_owned())),
        ] {
            all.answers().insert(url.to_owned(), answer);
        }
        let expected = AudienceReport {
            viewers: 5,
            views: vec![vec![1.5, 0.0], vec![0.0, 2.0]],
        };
        assert_eq!(all.audience("s"), Some(expected));
        assert_eq!(all.audience("t"), Some(AudienceReport::default()));
        let (edges, _) = all.report();
        assert_eq!(edges[2].trouble.as_deref(), Some("cannot reach c"));
        assert_eq!(fleet(&[]).audience("s"), None);
    }
}
