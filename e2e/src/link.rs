//! A cable that a scenario can cut: forwards connections to one local port.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A forwarding port.
#[derive(Debug)]
pub struct Link {
    /// Where to connect.
    pub port: u16,
    whole: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Link {
    /// Forwards to `port` on this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener");
        let (whole, watched) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(forward(near, port, watched.clone()));
            }
        });
        Self {
            port: address.port(),
            whole,
            task,
        }
    }

    /// Ends every connection, and every new one at once.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Forwards again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut near: TcpStream, port: u16, mut whole: watch::Receiver<bool>) {
    if !*whole.borrow() {
        return;
    }
    if let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await {
        // However it ends, both sides are closed.
        tokio::select! {
            _ = copy_bidirectional(&mut near, &mut far) => {}
            _ = whole.wait_for(|whole| !whole) => {}
        }
    }
}
