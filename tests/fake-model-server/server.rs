//! The HTTP server: routes, readiness, metrics.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::adapters::{self, Adapters};
use super::connections::{ConnectionEnd, Crashes, Listener, listen, take_port};
use super::control::{self, Holds};
use super::metrics::{self, Generations};
use super::moods::{Hang, Storms};
use super::recorder::RecorderClient;
use super::requests::Requests;
use super::settings::{Program, Settings};
use super::{answers, rows};

/// What all requests share.
#[derive(Debug)]
pub struct Shared {
    pub settings: Settings,
    pub ready_at: Instant,
    pub requests: Requests,
    pub holds: Holds,
    pub storms: Storms,
    pub hang: Hang,
    pub crashes: Arc<Crashes>,
    pub slots: Semaphore,
    pub generations: Generations,
    pub adapters: Adapters,
    pub recorder: Option<RecorderClient>,
}

impl Shared {
    /// What the metrics say now.
    pub fn metrics(&self) -> String {
        let now = || metrics::text(&self.settings, self.requests.in_flight(), self.generations.tokens());
        self.hang.metrics().unwrap_or_else(now)
    }
}

/// A server that has its port.
pub struct Server {
    port: Port,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// llama-server listens at once and answers 503; the others have their port and do not listen until the model is loaded.
enum Port {
    Taken(TcpSocket),
    Listening(TcpListener),
}

impl Server {
    /// Takes the port, and listens where nothing is to be loaded first.
    pub fn bind(settings: Settings) -> io::Result<Self> {
        let socket = take_port(settings.address)?;
        let address = socket.local_addr()?;
        let waits = settings.program != Program::LlamaServer && !settings.loading.is_zero();
        let port = if waits {
            Port::Taken(socket)
        } else {
            Port::Listening(listen(socket)?)
        };
        let shared = Shared {
            ready_at: Instant::now() + settings.loading,
            requests: Requests::default(),
            holds: Holds::default(),
            storms: Storms::default(),
            hang: Hang::default(),
            crashes: Arc::default(),
            slots: Semaphore::new(settings.slots),
            generations: Generations::default(),
            adapters: Adapters::default(),
            recorder: settings
                .recorder
                .clone()
                .map(|url| RecorderClient::new(url, settings.pod.clone())),
            settings,
        };
        Ok(Self {
            address,
            port,
            shared: Arc::new(shared),
        })
    }

    /// Where it will listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it behaves.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// What its requests share.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Answers requests for ever.
    pub async fn serve(self) -> io::Result<()> {
        let listener = match self.port {
            Port::Listening(listener) => listener,
            Port::Taken(socket) => {
                sleep(self.shared.settings.loading).await;
                listen(socket)?
            }
        };
        let listener = Listener::new(listener, Arc::clone(&self.shared.crashes))?;
        let app = router(self.shared).into_make_service_with_connect_info::<ConnectionEnd>();
        axum::serve(listener, app).await
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/v1/models", get(models))
        .route("/metrics", get(metrics))
        .route("/v1/chat/completions", post(rows::chat))
        .route("/v1/completions", post(rows::completions))
        .route("/v1/embeddings", post(rows::embeddings))
        .route("/v1/load_lora_adapter", post(adapters::load_vllm))
        .route("/load_lora_adapter", post(adapters::load_sglang))
        .route("/lora-adapters", get(adapters::list))
        .fallback(unknown_path)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), refuse_strangers))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            refuse_while_loading,
        ))
        .merge(control::routes())
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

async fn refuse_while_loading(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    if Instant::now() < shared.ready_at {
        return answers::json(StatusCode::SERVICE_UNAVAILABLE, answers::LOADING);
    }
    next.run(request).await
}

/// vLLM asks for its key below `/v1` (`vllm/entrypoints/serve/middleware.py`, `AuthenticationMiddleware`).
async fn refuse_strangers(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let keys = &shared.settings.api_keys;
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|given| given.to_str().ok());
    let given = given.and_then(|given| given.strip_prefix("Bearer "));
    let is_known = given.is_some_and(|given| keys.iter().any(|key| key == given));
    if request.uri().path().starts_with("/v1") && !keys.is_empty() && !is_known {
        return answers::json(StatusCode::UNAUTHORIZED, r#"{"error":"Unauthorized"}"#);
    }
    next.run(request).await
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    match shared.settings.program {
        Program::Vllm | Program::Lorax | Program::Sglang => StatusCode::OK.into_response(),
        Program::LlamaServer => answers::json(StatusCode::OK, r#"{"status":"ok"}"#),
    }
}

async fn models(State(shared): State<Arc<Shared>>) -> Response {
    if shared.settings.program == Program::Lorax {
        return answers::unknown_path(Program::Lorax);
    }
    answers::json(StatusCode::OK, answers::models(&shared.settings))
}

async fn unknown_path(State(shared): State<Arc<Shared>>) -> Response {
    answers::unknown_path(shared.settings.program)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    if !shared.settings.metrics && shared.settings.program == Program::Sglang {
        return answers::unknown_path(Program::Sglang);
    }
    if !shared.settings.metrics {
        let message = "This server does not support metrics endpoint. Start it with `--metrics`";
        return answers::error(shared.settings.program, StatusCode::NOT_IMPLEMENTED, message);
    }
    shared.metrics().into_response()
}
