//! A certificate authority of one test, made by OpenSSL's program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// What it has signed is trusted with its certificate alone.
pub struct Authority {
    folder: TempDir,
    certificate: PathBuf,
}

impl Authority {
    /// Makes one of this name.
    pub fn called(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let subject = format!("/CN={name}");
        let request = ["req", "-x509", "-new", "-subj", &subject, "-days", "2"];
        let files = ["-keyout", "ca.key", "-out", "ca.crt"];
        openssl(folder.path(), &[&request[..], &NEW_KEY, &files].concat());
        let certificate = folder.path().join("ca.crt");
        Self { folder, certificate }
    }

    /// Where its own certificate is, as PEM.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// How a server speaks that is called so.
    pub fn server(&self, host: &str) -> Arc<ServerConfig> {
        let folder = self.folder.path();
        let request = ["req", "-new", "-subj", "/CN=server"];
        let files = ["-keyout", "server.key", "-out", "server.csr"];
        openssl(folder, &[&request[..], &NEW_KEY, &files].concat());
        std::fs::write(folder.join("names"), format!("subjectAltName = DNS:{host}")).unwrap();
        let sign =
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -set_serial 2 -days 2 -extfile names -out server.crt";
        openssl(folder, &sign.split(' ').collect::<Vec<_>>());

        let certificate = CertificateDer::from_pem_file(folder.join("server.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
        // The process has no provider of its own, as the feeder is another one.
        let server = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let server = server.with_safe_default_protocol_versions().unwrap();
        let server = server
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(server)
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).current_dir(folder).output();
    let done = done.expect("the program openssl");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "openssl {arguments:?}: {said}");
}
