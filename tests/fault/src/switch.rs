//! What stands between a client and the replicas of a service: it sends new connections to the
//! replica that it is turned to.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Forwards connections until it is dropped.
pub struct Switch {
    address: SocketAddr,
    target: watch::Sender<String>,
    task: JoinHandle<()>,
}

impl Switch {
    /// Begins to forward to `host:port`.
    pub async fn begin(target: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (target, changes) = watch::channel(target);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, changes.clone()));
            }
        });
        Ok(Self { address, target, task })
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sends clients to another replica. Their connections break, but the former replica does not
    /// learn of it, as when a network is cut: what it has in hand, it goes on with.
    pub fn turn(&self, target: &str) {
        self.target.send_replace(target.to_owned());
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, mut changes: watch::Receiver<String>) {
    let target = changes.borrow_and_update().clone();
    // Nobody listens there: the client sees its connection close, as it would without a switch.
    let Ok(mut server) = TcpStream::connect(&target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => return,
        // Ends too when the switch is gone.
        _ = changes.changed() => {}
    }
    drop(client);
    let mut lost = [0; 4096];
    while matches!(server.read(&mut lost).await, Ok(1..)) {}
    let _ = server.shutdown().await;
}
