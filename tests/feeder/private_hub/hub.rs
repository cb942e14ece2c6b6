//! The hub itself.

use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use super::authority::Authority;
use crate::rows::MODEL;

/// No name server knows it, and it is none of the cluster's.
pub const HOST: &str = "hub.private.example";
/// Without it, the hub has nothing.
pub const TOKEN: &str = "hf_of_the_job";
/// A model that is not given to the token.
pub const GATED: &str = "org/gated";
pub const COMMIT: &str = "b968826d9c46dd6066d109eabc6255188de91218";

/// Until it is dropped.
pub struct Hub {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Hub {
    /// Starts on the current runtime.
    pub async fn start(authority: &Authority) -> Self {
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listening.local_addr().unwrap();
        let listener = TlsListener {
            listening,
            acceptor: TlsAcceptor::from(authority.server(HOST)),
        };
        let router = axum::Router::new().fallback(answer);
        let serving = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// Where the proxy finds it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// As huggingface.co answers (huggingface_hub, `utils/_http.py`).
async fn answer(request: Request) -> Response {
    let token = request.headers().get(AUTHORIZATION);
    let is_known = token.is_some_and(|token| *token == format!("Bearer {TOKEN}"));
    let is_of = |model: &str| request.uri().path().starts_with(&format!("/api/models/{model}/"));
    let refusal = |status: StatusCode, code: &'static str, said: &'static str| {
        (status, [("x-error-code", code), ("x-error-message", said)]).into_response()
    };
    if !is_known {
        return refusal(StatusCode::UNAUTHORIZED, "RepoNotFound", "who are you?");
    }
    if is_of(GATED) {
        return refusal(StatusCode::FORBIDDEN, "GatedRepo", "ask its owner");
    }
    if is_of(MODEL) {
        return json!({"sha": COMMIT}).to_string().into_response();
    }
    refusal(StatusCode::NOT_FOUND, "RepoNotFound", "there is none")
}

struct TlsListener {
    listening: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, peer) = self.listening.accept().await.unwrap();
            // Who does not trust the certificate goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listening.local_addr()
    }
}
