//! Certificate and key files to a TLS configuration on ring, without touching the process-wide provider.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Why there is no TLS configuration. PEM errors carry no cause: it would quote lines of the file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificate file is malformed or holds no certificate.
    #[error("{} holds no PEM certificate chain", .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
    },
    /// The key file is malformed or holds no private key.
    #[error("{} holds no PEM private key", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// The key does not belong to the certificate, or its kind is unknown.
    #[error("the certificate and key cannot be used")]
    Refused(#[from] rustls::Error),
}

/// The configuration for a PEM certificate chain (leaf first) and its PEM private key (PKCS#8, PKCS#1 or SEC1).
///
/// TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`, no client certificates. Reads the files at once: call it at start.
///
/// # Errors
///
/// A file that cannot be read or does not hold what it should, or a key of another certificate.
pub fn load(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain_pem = read(certificates)?;
    let key_pem = Zeroizing::new(read(key)?);
    let chain = parse_chain(&chain_pem).ok_or_else(|| TlsError::Certificates {
        path: certificates.to_owned(),
    })?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| TlsError::Key { path: key.to_owned() })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn parse_chain(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{TlsError, load, parse_chain};
    use std::path::Path;

    #[test]
    fn a_missing_file_is_named() {
        let missing = Path::new("no/such/certificate.pem");
        let refused = load(missing, missing);
        assert!(matches!(&refused, Err(TlsError::Read { path, .. }) if path == missing));
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        assert!(parse_chain(b"").is_none());
        assert!(parse_chain(b"-----BEGIN CERTIFICATE-----\nAAAA\n").is_none());
        let key_only = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(parse_chain(key_only).is_none());
    }

    #[test]
    fn every_certificate_of_a_chain_is_kept() {
        let one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let chain = parse_chain(one.repeat(2).as_bytes());
        assert_eq!(chain.map(|chain| chain.len()), Some(2));
    }
}
