//! Certificates: reading this process's own, and a development authority for the local modes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::config::Security;

/// Names that a development server certificate is good for.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate, its key and the authority to check peers against, all PEM.
#[derive(Clone)]
pub struct Material {
    /// Authority that peers are checked against.
    pub ca: String,
    /// This process's certificate and key; clients may do with a token alone.
    pub pair: Option<Pair>,
}

/// A certificate and its private key, PEM. Its debug form does not show the key.
#[derive(Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

/// Installs the TLS implementation of the process. Call it first in `main`: more than one is in
/// the dependency tree, so none can be chosen by itself.
pub fn install_provider() {
    // An error says only that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Reads the files that `security` names. None when plaintext was asked for.
pub fn load(security: &Security) -> anyhow::Result<Option<Material>> {
    if security.plaintext {
        return Ok(None);
    }
    let ca = security.ca.as_ref().context(
        "no certificate authority: set EVENKEEL_CA (and EVENKEEL_CERT, EVENKEEL_KEY), \
         or EVENKEEL_PLAINTEXT=true for loopback only",
    )?;
    let pair = match (&security.cert, &security.key) {
        (Some(cert), Some(key)) => Some(Pair { cert: read(cert)?, key: read(key)? }),
        _ => None,
    };
    Ok(Some(Material { ca: read(ca)?, pair }))
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// A certificate authority for development and tests, kept in a directory.
pub struct Authority {
    directory: PathBuf,
    cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority in `directory`, or makes one there.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let (cert_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
        if !cert_path.exists() || !key_path.exists() {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(Vec::<String>::new())?;
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.distinguished_name.push(DnType::CommonName, "evenkeel development authority");
            let cert = params.self_signed(&key)?;
            write_private(&key_path, &key.serialize_pem())?;
            fs::write(&cert_path, cert.pem())?;
        }
        let cert = read(&cert_path)?;
        let issuer = Issuer::from_ca_cert_pem(&cert, KeyPair::from_pem(&read(&key_path)?)?)?;
        Ok(Self { directory: directory.to_owned(), cert, issuer })
    }

    /// The authority's certificate, PEM.
    pub fn cert(&self) -> &str {
        &self.cert
    }

    /// Path of the authority's certificate.
    pub fn cert_path(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// A certificate for `common_name`, good as server on this machine and as client.
    pub fn issue(&self, common_name: &str) -> anyhow::Result<Pair> {
        self.issue_with(common_name, |_| {})
    }

    /// As [`Authority::issue`], with changes to the certificate's parameters.
    pub fn issue_with(
        &self,
        common_name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> anyhow::Result<Pair> {
        let key = KeyPair::generate()?;
        let names: Vec<String> =
            LOCAL_NAMES.iter().map(ToString::to_string).chain([common_name.to_owned()]).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
    }

    /// Writes `<name>.crt` and `<name>.key` beside the authority, unless they are there, and
    /// returns what a process needs to use them.
    pub fn identity(&self, name: &str) -> anyhow::Result<Security> {
        let cert = self.directory.join(format!("{name}.crt"));
        let key = self.directory.join(format!("{name}.key"));
        if !cert.exists() || !key.exists() {
            let pair = self.issue(name)?;
            write_private(&key, &pair.key)?;
            fs::write(&cert, pair.cert)?;
        }
        Ok(Security { ca: Some(self.cert_path()), cert: Some(cert), key: Some(key), ..Security::default() })
    }
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}
