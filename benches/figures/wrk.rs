//! The yardstick: what wrk gets from the same server.

use tokio::process::Command;

use super::answer_server::AnswerServer;

/// Requests per second over some connections: one thread, on the first core, with a row of 400 bytes.
pub async fn requests_per_second(server: &AnswerServer, connections: u32, seconds: u32) -> f64 {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/post.lua");
    let output = Command::new("taskset")
        .args(["--cpu-list", "0", "wrk", "--threads", "1"])
        .args([
            "--connections",
            &connections.to_string(),
            "--duration",
            &format!("{seconds}s"),
        ])
        .args(["--script", script, &server.url()])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "wrk failed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!text.contains("Non-2xx"), "wrk was refused: {text}");
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    rate.and_then(|rate| rate.trim().parse().ok())
        .unwrap_or_else(|| panic!("wrk says no rate: {text}"))
}
