//! A way to a server that can be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Passes connections on, until it is dropped.
pub struct Relay {
    address: SocketAddr,
    away: watch::Sender<bool>,
    _accepting: AbortOnDropHandle<()>,
}

impl Relay {
    /// Passes connections on to `server`.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let away = watch::Sender::new(false);
        let accepting = accept(listener, server, away.clone());
        Self {
            address,
            away,
            _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts every connection, and those that come; or no longer.
    pub fn set_away(&self, away: bool) {
        self.away.send_replace(away);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, away: watch::Sender<bool>) {
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut away = away.subscribe();
        tokio::spawn(async move {
            let mut server = TcpStream::connect(server).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => {}
                _ = away.wait_for(|away| *away) => {}
            }
        });
    }
}
