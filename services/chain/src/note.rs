//! Signed notes with Ed25519, as in C2SP signed-note.
//!
//! A note is text, an empty line, and one line per signature: `— <name> <base64(key id || signature)>`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

/// Algorithm byte of an Ed25519 key.
const ED25519: u8 = 0x01;
const SIGNATURE_PREFIX: &str = "— ";
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// Why a key was not accepted.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not of the form `name+hash+base64`.
    #[error("a key has the form name+hash+base64: {0}")]
    Malformed(&'static str),
    /// The name cannot stand in a signature line.
    #[error("key name {0:?} is empty, or has a space, a plus sign or a control character in it")]
    BadName(String),
    /// The hash in the text is not that of the name and the key.
    #[error("the key's hash is {computed}, but its text says {stated}")]
    WrongHash {
        /// Hash in the text.
        stated: String,
        /// Hash of name and key.
        computed: String,
    },
    /// The algorithm is not Ed25519.
    #[error("key algorithm {0} is not supported, only 1 (Ed25519) is")]
    UnknownAlgorithm(u8),
}

/// Why a note is not believed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// The text is no signed note.
    #[error("malformed note at line {line}: {problem}")]
    Malformed {
        /// One-based line.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// None of the signatures is by the expected key.
    #[error("the note is not signed by {expected}, only by {found:?}")]
    WrongKey {
        /// Key that should have signed, `name+hash`.
        expected: String,
        /// Keys that did, `name+hash`.
        found: Vec<String>,
    },
    /// The expected key's signature is not over this text.
    #[error("the signature by {0} does not fit the text")]
    BadSignature(String),
}

/// First four bytes of the hash of a key's name and public half.
#[derive(Clone, Copy, PartialEq, Eq)]
struct KeyId([u8; 4]);

impl KeyId {
    fn of(name: &str, key: &VerifyingKey) -> Self {
        let digest = Sha256::new_with_prefix(name)
            .chain_update([b'\n', ED25519])
            .chain_update(key.as_bytes())
            .finalize();
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

/// Verifies notes: the public half of a named key.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: KeyId,
    key: VerifyingKey,
}

impl VerifierKey {
    /// Reads the vkey format, `name+hash+base64(0x01 || public key)`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (name, stated, bytes) = split_key(text)?;
        let key = VerifyingKey::from_bytes(&bytes)
            .map_err(|_| KeyError::Malformed("the public key is not a point of the curve"))?;
        let id = KeyId::of(name, &key);
        check_hash(stated, id)?;
        Ok(Self { name: name.to_owned(), id, key })
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Name and hash, as in error messages.
    pub fn label(&self) -> String {
        format!("{}+{}", self.name, self.id)
    }

    /// Verifies a note and returns its text, the final line feed included. Signatures by other keys
    /// are neither trusted nor minded.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        let (text, signatures) = parse_note(note)?;
        let mut found = Vec::new();
        for signature in signatures {
            if signature.name == self.name && signature.id == self.id {
                let bytes = signature.bytes;
                let valid = Signature::from_slice(&bytes)
                    .and_then(|signature| self.key.verify_strict(text.as_bytes(), &signature));
                return valid.map(|()| text).map_err(|_| NoteError::BadSignature(self.label()));
            }
            found.push(format!("{}+{}", signature.name, signature.id));
        }
        Err(NoteError::WrongKey { expected: self.label(), found })
    }
}

impl fmt::Display for VerifierKey {
    /// The vkey format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, self.id, encode_key(self.key.as_bytes()))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Signs notes: the private half of a named key.
pub struct SignerKey {
    key: SigningKey,
    verifier: VerifierKey,
}

impl SignerKey {
    /// Makes a key from 32 bytes, which the caller draws from a secure source.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let key = SigningKey::from_bytes(seed);
        let public = key.verifying_key();
        let verifier = VerifierKey { name: name.to_owned(), id: KeyId::of(name, &public), key: public };
        Ok(Self { key, verifier })
    }

    /// Reads the skey format, `PRIVATE+KEY+name+hash+base64(0x01 || seed)`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text
            .strip_prefix(PRIVATE_PREFIX)
            .ok_or(KeyError::Malformed("a private key starts with PRIVATE+KEY+"))?;
        let (name, stated, seed) = split_key(text)?;
        let signer = Self::from_seed(name, &seed)?;
        check_hash(stated, signer.verifier.id)?;
        Ok(signer)
    }

    /// The skey format. Secret.
    pub fn to_secret_text(&self) -> String {
        let VerifierKey { name, id, .. } = &self.verifier;
        format!("{PRIVATE_PREFIX}{name}+{id}+{}", encode_key(self.key.as_bytes()))
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text, which must end with a line feed and have no control character but line feeds.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        check_text(text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed {
                line: text.lines().count(),
                problem: "the text does not end with a line feed",
            });
        }
        let mut signature = self.verifier.id.0.to_vec();
        signature.extend(self.key.sign(text.as_bytes()).to_bytes());
        Ok(format!("{text}\n{SIGNATURE_PREFIX}{} {}\n", self.verifier.name, BASE64.encode(signature)))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({})", self.verifier.label())
    }
}

struct SignatureLine<'a> {
    name: &'a str,
    id: KeyId,
    bytes: Vec<u8>,
}

fn parse_note(note: &str) -> Result<(&str, Vec<SignatureLine<'_>>), NoteError> {
    check_text(note)?;
    let lines = note.lines().count();
    let split = note
        .rfind("\n\n")
        .ok_or(NoteError::Malformed { line: lines, problem: "no empty line before the signatures" })?;
    let (text, signatures) = (&note[..=split], &note[split + 2..]);
    let first = text.lines().count() + 2;
    if signatures.is_empty() {
        return Err(NoteError::Malformed { line: first, problem: "no signatures" });
    }
    if !signatures.ends_with('\n') {
        return Err(NoteError::Malformed { line: lines, problem: "no line feed at the end" });
    }
    let parse = |(n, line)| {
        parse_signature(line).map_err(|problem| NoteError::Malformed { line: first + n, problem })
    };
    Ok((text, signatures.lines().enumerate().map(parse).collect::<Result<_, _>>()?))
}

fn parse_signature(line: &str) -> Result<SignatureLine<'_>, &'static str> {
    let rest =
        line.strip_prefix(SIGNATURE_PREFIX).ok_or("a signature line starts with an em dash and a space")?;
    let (name, encoded) = rest.split_once(' ').ok_or("no signature after the key name")?;
    check_name(name).map_err(|_| "the key name is not one")?;
    let bytes = BASE64.decode(encoded).map_err(|_| "the signature is not base64")?;
    let (id, signature) = bytes.split_first_chunk().ok_or("the signature is too short")?;
    if signature.is_empty() {
        return Err("the signature is too short");
    }
    Ok(SignatureLine { name, id: KeyId(*id), bytes: signature.to_vec() })
}

fn check_text(text: &str) -> Result<(), NoteError> {
    for (n, line) in text.split('\n').enumerate() {
        if line.chars().any(char::is_control) {
            return Err(NoteError::Malformed { line: n + 1, problem: "it has a control character" });
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), KeyError> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(forbidden) {
        return Err(KeyError::BadName(name.to_owned()));
    }
    Ok(())
}

fn split_key(text: &str) -> Result<(&str, &str, [u8; 32]), KeyError> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(hash), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(KeyError::Malformed("a part is missing"));
    };
    check_name(name)?;
    let bytes = BASE64.decode(encoded).map_err(|_| KeyError::Malformed("the last part is not base64"))?;
    let (algorithm, key) = bytes.split_first().ok_or(KeyError::Malformed("the last part is empty"))?;
    if *algorithm != ED25519 {
        return Err(KeyError::UnknownAlgorithm(*algorithm));
    }
    let key = key.try_into().map_err(|_| KeyError::Malformed("an Ed25519 key has 32 bytes"))?;
    Ok((name, hash, key))
}

fn check_hash(stated: &str, id: KeyId) -> Result<(), KeyError> {
    let computed = id.to_string();
    if stated != computed {
        return Err(KeyError::WrongHash { stated: stated.to_owned(), computed });
    }
    Ok(())
}

fn encode_key(key: &[u8; 32]) -> String {
    let mut bytes = vec![ED25519];
    bytes.extend(key);
    BASE64.encode(bytes)
}
