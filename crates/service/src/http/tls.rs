//! TLS for the public listener: a certificate from files, or one made on the spot for development.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

/// Where the certificate comes from. With neither file one is made at start, signed by itself, for
/// `localhost`: good for trying HTTP/2, trusted by nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, the own certificate first.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key.
    pub key: Option<PathBuf>,
}

/// Why TLS cannot be offered. The operator's to fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or is not PEM.
    #[error("cannot read {what} from {}: {reason}; give a PEM file", path.display())]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The reader's words.
        reason: String,
    },
    /// Only one of the two was given.
    #[error("cannot use tls.certificate without tls.key or the reverse; give both or neither")]
    Half,
    /// The certificate and key do not work together.
    #[error("cannot use the certificate: {0}; check that key and certificate belong together")]
    Unusable(String),
}

impl TlsConfig {
    /// Builds the server side: TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
    pub fn build(&self) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let (chain, key) = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => (read_chain(certificate)?, read_key(key)?),
            (None, None) => self_signed()?,
            _ => return Err(TlsError::Half),
        };
        let unusable = |e: rustls::Error| TlsError::Unusable(e.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refuse = |reason: String| TlsError::Read {
        what: "a certificate",
        path: path.into(),
        reason,
    };
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| refuse(e.to_string()))?;
    if chain.is_empty() {
        return Err(refuse("it holds none".to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| TlsError::Read {
        what: "a private key",
        path: path.into(),
        reason: e.to_string(),
    })
}

fn self_signed() -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let names = [
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let made =
        rcgen::generate_simple_self_signed(names).map_err(|e| TlsError::Unusable(e.to_string()))?;
    tracing::warn!("serving TLS with a self-signed certificate: set certificate and key");
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok((vec![made.cert.der().clone()], key.into()))
}
