//! How the API server is reached.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::timeout::{Timeout, TimeoutLayer};

/// An API server gives up by itself what takes it a minute (`--request-timeout` of Kubernetes 1.34): one that is silent for longer is dead,
/// or on a node that is.
const ANSWER_WITHIN: Duration = Duration::from_secs(65);

/// A client whose requests fail when no answer begins in time. Without that, one to an API server that lost its power is waited for until
/// TCP gives up, which may be never. How long an answer goes on is not limited: a watch may have nothing to tell for minutes, and has a
/// limit of its own in kube.
///
/// # Errors
/// When the configuration cannot be used.
pub fn client(config: Config) -> kube::Result<Client> {
    Ok(in_time(ClientBuilder::try_from(config)?).build())
}

fn in_time<S>(builder: ClientBuilder<S>) -> ClientBuilder<Timeout<S>> {
    builder.with_layer(&TimeoutLayer::new(ANSWER_WITHIN))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;

    use http::{Request, Response};
    use k8s_openapi::api::coordination::v1::Lease;
    use kube::Api;
    use kube::client::Body;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_the_api_server_never_answers_fails() {
        let silent = tower::service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
        let client = in_time(ClientBuilder::new(silent, "operator")).build();
        let leases: Api<Lease> = Api::default_namespaced(client);
        let asked = timeout(ANSWER_WITHIN * 2, leases.get_opt("lease")).await;
        asked.expect("no endless wait").expect_err("no answer");
    }
}
