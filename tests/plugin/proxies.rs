//! A proxy between the plugin and the API server.

use crate::api_server::{ApiServer, kubeconfig};
use crate::connect_proxy::ConnectProxy;
use crate::plugin::Machine;

/// Only the proxy finds it.
const SERVER: &str = "http://api.no-such-host.invalid:8080";

#[tokio::test]
async fn the_api_server_is_asked_through_the_proxy_of_the_environment_or_of_the_kubeconfig() {
    let server = ApiServer::start().await;
    let proxy = ConnectProxy::to(server.address()).await;
    let asked = "CONNECT api.no-such-host.invalid:8080 HTTP/1.1";

    let machine = Machine::new(&kubeconfig(SERVER)).with([("HTTP_PROXY".to_owned(), proxy.url())]);
    let ended = machine.run("list").await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(proxy.asked(), [asked]);

    let by_cluster =
        kubeconfig(SERVER).replace("\"server\":", &format!("\"proxy-url\":\"{}\",\"server\":", proxy.url()));
    let ended = Machine::new(&by_cluster).run("list").await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(proxy.asked(), [asked, asked]);
}

#[tokio::test]
async fn no_proxy_lets_the_api_server_pass_by_its_name_and_port() {
    let server = ApiServer::start().await;
    for (excluded, is_let_pass) in [
        ("invalid", true),
        ("api.no-such-host.invalid:8080", true),
        ("[::1]:8443, *.no-such-host.invalid:8080", true),
        ("api.no-such-host.invalid:8443", false),
        ("10.0.0.0/8,::1", false),
    ] {
        let proxy = ConnectProxy::to(server.address()).await;
        let machine = Machine::new(&kubeconfig(SERVER)).with([
            ("HTTP_PROXY".to_owned(), proxy.url()),
            ("NO_PROXY".to_owned(), excluded.to_owned()),
        ]);
        let ended = machine.run("list").await;
        assert_eq!(proxy.asked().is_empty(), is_let_pass, "{excluded}: {}", ended.stderr);
        assert_eq!(
            ended.stderr.contains("does not answer"),
            is_let_pass,
            "{excluded}: {}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_told_without_its_password() {
    let machine =
        Machine::new(&kubeconfig(SERVER)).with([("HTTP_PROXY".to_owned(), "ftp://jane:secret@proxy".to_owned())]);
    let ended = machine.run("list").await;
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("the proxy to the API server cannot be used"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
}
