//! Servers on loopback, for unit tests.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

/// Serves on a free port for as long as the test's runtime lives.
///
/// # Panics
///
/// There is no free port.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}
