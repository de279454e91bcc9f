//! HTTP clients of tests: everything is on loopback and without TLS, which the library still wants to be told about.

use std::sync::Arc;
use std::time::Duration;

use reqwest::ClientBuilder;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

/// Sooner than a server closes what is idle, or a request could meet the closing of its connection.
const IDLE: Duration = Duration::from_secs(5);

/// A client to be made; it trusts nobody's certificate.
pub fn http_client() -> ClientBuilder {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .pool_idle_timeout(IDLE)
        .tls_backend_preconfigured(config)
}
