//! Passing a request on, or not.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{Fault, Request, Shared};

/// Does with a request what is decided for it. What is returned from without an answer is reset.
pub(super) async fn pass(
    shared: &Shared,
    client: &mut TcpStream,
    request: &Request,
    fault: Option<Fault>,
) -> io::Result<()> {
    if fault == Some(Fault::ResetInRequest) {
        request.read_body(client, request.length / 2).await?;
        return Ok(());
    }
    let body = request.read_body(client, usize::MAX).await?;
    match fault {
        Some(Fault::Answer(status, code)) => return end(client, error(request, status, code).as_bytes()).await,
        Some(Fault::DeletesRefused) => return end(client, deletes_refused(&body).as_bytes()).await,
        Some(Fault::Silence) => return std::future::pending().await,
        Some(Fault::Delay(time)) => sleep(time).await,
        Some(Fault::ConditionIgnored) if request.only_if_new => remove(shared, request).await,
        _ => {}
    }
    let mut upstream = TcpStream::connect(shared.s3).await?;
    let answer = request.ask(&body, &mut upstream).await?;
    shared.note_answer(request);
    match fault {
        Some(Fault::AnswerLost) => Ok(()),
        Some(Fault::ResetInAnswer) => {
            client.write_all(&answer[..answer.len() / 2]).await?;
            client.flush().await
        }
        _ => end(client, &answer).await,
    }
}

/// Sends an answer and ends the connection well.
async fn end(client: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    client.write_all(answer).await?;
    client.shutdown().await?;
    // The client closes when it has all; a reset before that could overtake the answer.
    let mut rest = [0; 64];
    while tokio::io::AsyncReadExt::read(client, &mut rest).await? > 0 {}
    Ok(())
}

/// As S3 answers: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn error(request: &Request, status: u16, code: &str) -> String {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>told to fail</Message>\
         <Resource>{}</Resource></Error>",
        request.path()
    );
    let body = if request.method == "HEAD" { String::new() } else { body };
    xml(status, &body)
}

/// As S3 answers one who may not delete: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
fn deletes_refused(asked: &[u8]) -> String {
    let asked = String::from_utf8_lossy(asked);
    let keys = asked
        .split("<Key>")
        .skip(1)
        .filter_map(|rest| rest.split("</Key>").next());
    let errors = keys.fold(String::new(), |errors, key| {
        errors + "<Error><Key>" + key + "</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    });
    xml(200, &format!("<DeleteResult>{errors}</DeleteResult>"))
}

fn xml(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Signatures cover the condition, so it cannot be taken out of a request; but it can be made true.
async fn remove(shared: &Shared, request: &Request) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let object = format!("http://{}/buckets{}", shared.filer, request.path());
    client.delete(object).send().await.unwrap();
}
