//! The certificates of one instance, from an authority of its own.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use sha2::{Digest, Sha256};

use crate::error::{Doing, Error, Result};

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The directory of an instance's certificates.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// The authority in `dir`, which may not exist yet.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes the authority and the key with which ServiceAccount tokens are signed.
    pub(crate) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.dir).doing(|| format!("create {}", self.dir.display()))?;
        let key = KeyPair::generate()?;
        let mut params = params("evenkeel-test-ca", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?.pem();
        self.write("ca", &Pair { certificate, key: key.serialize_pem() })?;
        let tokens = KeyPair::generate()?;
        write(&self.path("tokens.key"), &tokens.serialize_pem())?;
        write(&self.path("tokens.pub"), &tokens.public_key_pem())
    }

    /// A file of this directory: `<name>.crt` or `<name>.key`.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// The same as an argument.
    pub(crate) fn arg(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    pub(crate) fn ca(&self) -> Result<String> {
        let path = self.path("ca.crt");
        fs::read_to_string(&path).doing(|| format!("read {}", path.display()))
    }

    /// Makes `<file>.crt` and `.key` for a server under these names and addresses.
    pub(crate) fn server(&self, file: &str, names: &[String]) -> Result<()> {
        let mut params = CertificateParams::new(names)?;
        common(&mut params, file, &[])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.write(file, &self.sign(&params)?)
    }

    /// Makes a client certificate for a user and its groups.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<Pair> {
        let mut params = params(user, groups)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// The same, kept as `<file>.crt` and `.key`.
    pub(crate) fn client_files(&self, file: &str, user: &str, groups: &[&str]) -> Result<()> {
        self.write(file, &self.client(user, groups)?)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Pair> {
        let path = self.path("ca.key");
        let key = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        let issuer = Issuer::from_ca_cert_pem(&self.ca()?, KeyPair::from_pem(&key)?)?;
        let key = KeyPair::generate()?;
        let mut params = params.clone();
        // Some clients tell certificates of one issuer apart by serial number alone.
        let serial = Sha256::digest(key.public_key_pem());
        params.serial_number = Some(SerialNumber::from_slice(&serial[..16]));
        Ok(Pair { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
    }

    fn write(&self, file: &str, pair: &Pair) -> Result<()> {
        write(&self.path(&format!("{file}.crt")), &pair.certificate)?;
        write(&self.path(&format!("{file}.key")), &pair.key)
    }
}

fn params(user: &str, groups: &[&str]) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    common(&mut params, user, groups)?;
    Ok(params)
}

fn common(params: &mut CertificateParams, user: &str, groups: &[&str]) -> Result<()> {
    // Kubernetes reads the user from the common name and a group from each organisation. The
    // builder holds one value per kind; the second goes under the organisation's number.
    params.distinguished_name.push(DnType::CommonName, user);
    let kinds = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    if groups.len() > kinds.len() {
        return Err(Error::Groups(groups.len()));
    }
    for (kind, group) in kinds.into_iter().zip(groups) {
        params.distinguished_name.push(kind, *group);
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(())
}

/// Writes a file only its owner can read.
pub(crate) fn write(path: &Path, content: &str) -> Result<()> {
    let mut open = OpenOptions::new();
    let file = open.write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.doing(|| format!("write {}", path.display()))?;
    file.write_all(content.as_bytes()).doing(|| format!("write {}", path.display()))
}
