//! A proxy between the plugin and the API server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::api_server::{ApiServer, kubeconfig};
use crate::plugin::Machine;

/// Only the proxy finds it.
const SERVER: &str = "http://api.no-such-host.invalid:8080";

/// A proxy that leads to one server, whatever it is asked for, until it is dropped.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heard = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, server, Arc::clone(&heard)));
            }
        });
        Self {
            address,
            asked,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first line of each request.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn tunnel(mut client: TcpStream, server: SocketAddr, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let first = head.lines().next().unwrap_or_default().to_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(first);
    let mut server = TcpStream::connect(server).await.unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // Either may go away.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

#[tokio::test]
async fn the_api_server_is_asked_through_the_proxy_of_the_environment_or_of_the_kubeconfig() {
    let server = ApiServer::start().await;
    let proxy = Proxy::to(server.address()).await;
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
        let proxy = Proxy::to(server.address()).await;
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
