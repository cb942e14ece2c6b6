//! The way of one worker to a replica: a connection of its own to a pod, or the client that all share to an endpoint.

use std::time::Duration;

use hyper::header::CONTENT_TYPE;
use tokio::time::timeout;

use crate::engine::{EndpointUrl, Fault};

use super::memory::Memory;
use super::replicas::Address;
use super::send::{Connection, Outgoing, REQUEST_ID, Reply, read};

/// The way to one replica.
#[derive(Debug)]
pub enum Route {
    /// To a pod.
    Pod(Connection),
    /// To an endpoint.
    Endpoint {
        /// Knows the endpoint's key, and keeps connections open for whoever sends next.
        client: reqwest::Client,
        /// Where it is.
        url: EndpointUrl,
    },
}

impl Route {
    /// The way to an address; nothing is sent yet.
    #[must_use]
    pub fn to(address: &Address, client: &reqwest::Client) -> Self {
        match address {
            Address::Pod(address) => Self::Pod(Connection::new(*address)),
            Address::Endpoint(url) => Self::Endpoint {
                client: client.clone(),
                url: url.clone(),
            },
        }
    }

    /// Sends a request and waits for the whole answer, or for a reason why there is none.
    pub async fn send(&mut self, request: Outgoing<'_>, within: Duration, memory: &Memory) -> Reply {
        match self {
            Self::Pod(connection) => connection.send(request, within, memory).await,
            Self::Endpoint { client, url } => {
                let exchanged = timeout(within, exchange(client, url, request, memory)).await;
                exchanged.unwrap_or(Reply::Fault(Fault::TimedOut))
            }
        }
    }
}

async fn exchange(client: &reqwest::Client, url: &EndpointUrl, request: Outgoing<'_>, memory: &Memory) -> Reply {
    let sent = client
        .post(url.of(request.endpoint))
        .header(CONTENT_TYPE, "application/json")
        .header(REQUEST_ID, request.request_id)
        .body(request.body)
        .send()
        .await;
    match sent {
        Ok(response) => read(hyper::Response::from(response), memory).await,
        Err(error) if error.is_connect() => Reply::Fault(Fault::ConnectFailed),
        Err(_) => Reply::Fault(Fault::ConnectionLost),
    }
}
