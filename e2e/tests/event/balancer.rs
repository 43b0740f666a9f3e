//! What stands between edges and viewers: sends each request to an edge that is registered and says
//! that it is ready, one after the other. It tries nothing twice, so that whatever an edge does
//! wrong reaches a viewer.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
use service::{
    drain,
    http::{Body, Client, Request, Response, Server, read_all, serve},
};
use tokio::{net::TcpListener, task::JoinSet};

use crate::cloud::Cloud;

/// How often health is asked; the deployment's load balancer takes longer.
const CHECK_EVERY: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 16 << 20;
const EDGE_PORT: u16 = 8080;

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    url: String,
    edges: Arc<Edges>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Edges {
    /// Instances by id, whether they are in the target group or not.
    known: Mutex<BTreeMap<String, Ipv4Addr>>,
    healthy: Mutex<Vec<Ipv4Addr>>,
    next: AtomicUsize,
}

impl Balancer {
    /// Starts one on this thread's host.
    pub async fn start(cloud: Arc<Cloud>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let edges = Arc::new(Edges::default());
        let (shared, client) = (Arc::clone(&edges), Client::new(ANSWER_LIMIT));
        let handler = move |request: Request, _| {
            let (edges, client) = (Arc::clone(&shared), client.clone());
            async move { forward(&edges, &client, &request).await }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (_signal, watch) = drain::channel();
            serve(listener, Server::default(), handler, watch).await;
        });
        tasks.spawn(check(cloud, Arc::clone(&edges)));
        Self {
            url,
            edges,
            _tasks: tasks,
        }
    }

    /// Tells where an instance is, which the target group only names.
    pub fn knows(&self, id: &str, address: Ipv4Addr) {
        let mut known = self
            .edges
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.insert(id.to_owned(), address);
    }

    /// What viewers ask for.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Whether requests may go to the edge at `address`.
    pub fn sends_to(&self, address: Ipv4Addr) -> bool {
        self.edges.now().contains(&address)
    }
}

impl Edges {
    fn now(&self) -> Vec<Ipv4Addr> {
        let healthy = self.healthy.lock().unwrap_or_else(PoisonError::into_inner);
        healthy.clone()
    }
}

async fn check(cloud: Arc<Cloud>, edges: Arc<Edges>) {
    loop {
        let registered = cloud.targets();
        let known = edges
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut healthy = Vec::new();
        for address in registered.iter().filter_map(|id| known.get(id)) {
            let url = format!("http://{address}:{EDGE_PORT}/readyz");
            let answer = e2e::get(&url).await;
            if answer.is_some_and(|answer| answer.status == StatusCode::OK) {
                healthy.push(*address);
            }
        }
        *edges.healthy.lock().unwrap_or_else(PoisonError::into_inner) = healthy;
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

async fn forward(edges: &Edges, client: &Client, request: &Request) -> Response {
    let healthy = edges.now();
    let turn = edges.next.fetch_add(1, Relaxed);
    let Some(address) = healthy.get(turn % healthy.len().max(1)) else {
        return say(StatusCode::SERVICE_UNAVAILABLE, "no healthy edge");
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let onward = http::Request::builder()
        .method(request.method())
        .uri(format!("http://{address}:{EDGE_PORT}{path}"))
        .body(Body::empty())
        .expect("a request");
    let answer = async {
        let answer = client
            .send(onward, ANSWER_LIMIT)
            .await
            .map_err(|e| e.to_string())?;
        let (head, body) = answer.into_parts();
        let body = read_all(body, BODY_BYTES_MAX)
            .await
            .map_err(|e| e.to_string())?;
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = head.status;
        Ok::<_, String>(response)
    };
    match answer.await {
        Ok(response) => response,
        Err(reason) => say(StatusCode::BAD_GATEWAY, &format!("{address}: {reason}")),
    }
}

fn say(status: StatusCode, words: &str) -> Response {
    let mut response = Response::new(Body::full(words.to_owned()));
    *response.status_mut() = status;
    response
}
