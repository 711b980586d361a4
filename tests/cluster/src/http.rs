//! Just enough HTTP to ask an API server whether it is ready, and to push to a registry.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use crate::error::{Error, Result};

/// Asks one server, as one user.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    /// Speaks TLS, trusting `ca` alone, with a client certificate.
    pub(crate) fn secure(address: SocketAddr, ca: &str, certificate: &str, key: &str) -> Result<Self> {
        let unusable = |why: String| Error::Ask { url: format!("https://{address}"), why };
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|e| unusable(e.to_string()))?;
        roots.add(ca).map_err(|e| unusable(e.to_string()))?;
        let chain =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|e| unusable(e.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| unusable(e.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(e.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![chain], key)
            .map_err(|e| unusable(e.to_string()))?;
        Ok(Self { address, tls: Some(Arc::new(config)) })
    }

    /// Speaks in the clear.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }

    /// The body, if the server answered 200.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        self.ask(path, "200", &self.head("GET", path, "Accept: application/json"), Duration::from_secs(5))
    }

    /// Sends something that is then there: the server answers 201.
    pub(crate) fn create(&self, method: &str, path: &str, media_type: &str, content: &[u8]) -> Result<()> {
        let fields = format!("Content-Type: {media_type}\r\nContent-Length: {}", content.len());
        let request = [&self.head(method, path, &fields), content].concat();
        self.ask(path, "201", &request, Duration::from_mins(1)).map(drop)
    }

    /// HTTP/1.0: the answer comes in one piece and the connection ends with it.
    fn head(&self, method: &str, path: &str, fields: &str) -> Vec<u8> {
        format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n{fields}\r\n\r\n", self.address).into_bytes()
    }

    fn ask(&self, path: &str, expected: &str, request: &[u8], limit: Duration) -> Result<String> {
        let failed = |why: String| Error::Ask { url: format!("{}{path}", self.address), why };
        let answer = self.exchange(request, limit).map_err(|e| failed(e.to_string()))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split_whitespace().nth(1) {
            Some(code) if code == expected => Ok(body.to_owned()),
            _ => Err(failed(format!("{}: {body}", head.lines().next().unwrap_or_default()))),
        }
    }

    fn exchange(&self, request: &[u8], limit: Duration) -> std::io::Result<String> {
        let stream = TcpStream::connect_timeout(&self.address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let Some(tls) = &self.tls else { return converse(stream, request) };
        let name = ServerName::from(self.address.ip());
        let session = ClientConnection::new(Arc::clone(tls), name).map_err(std::io::Error::other)?;
        converse(StreamOwned::new(session, stream), request)
    }
}

fn converse(mut stream: impl Read + Write, request: &[u8]) -> std::io::Result<String> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that hangs up without a TLS farewell has still said what it had to say.
        Err(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => Err(e),
        _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
    }
}
