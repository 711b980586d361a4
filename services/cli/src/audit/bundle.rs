//! The file that carries events and proofs to somebody else: JSON lines, a header and then one record
//! a line, so that a log of any size is written and verified in constant memory.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Lines, Write as _},
    path::{Path, PathBuf},
};

use evenkeel_chain::Hash;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

const FORMAT: &str = "evenkeel-audit-bundle/1";

/// First line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    format: String,
    /// Signed checkpoint that everything is verified against.
    pub(super) checkpoint: String,
    /// Key that the server reported. Only for comparison: a file cannot vouch for itself.
    pub(super) verifier_key: String,
    /// What was asked for.
    pub(super) query: Query,
}

impl Header {
    pub(super) fn new(checkpoint: String, verifier_key: String, query: Query) -> Self {
        Self { format: FORMAT.to_owned(), checkpoint, verifier_key, query }
    }
}

/// Which events were asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Query {
    /// The whole log.
    #[serde(default)]
    pub(super) all: bool,
    /// Namespace of the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    /// Name of the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) execution: Option<String>,
    /// Id of the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<String>,
}

/// One event: a line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Place in the log.
    pub(super) index: u64,
    /// Id of the event.
    pub(super) event_id: String,
    /// When the log took it in; empty when the server does not say.
    #[serde(default)]
    pub(super) recorded_at: String,
    /// Leaf hash, as the server says.
    #[serde(with = "hex_hash")]
    pub(super) leaf_hash: Hash,
    /// The stored JSON, byte by byte; absent when retention has removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    /// Inclusion proof; absent in a bundle of the whole log, which needs none.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "hex_hashes")]
    pub(super) proof: Option<Vec<Hash>>,
}

/// Writes the file.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    pub(super) fn create(path: &Path, header: &Header) -> Result<Self> {
        let file = File::create(path).map_err(|error| Error::file(path, error))?;
        let mut writer = Self { path: path.to_owned(), file: BufWriter::new(file) };
        writer.line(header)?;
        Ok(writer)
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<()> {
        self.line(record)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::file(&self.path, error))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value).map_err(|error| Error::file(&self.path, error))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|error| Error::file(&self.path, error))
    }
}

/// Opens a file: its header, and its records one by one.
pub(super) fn read(path: &Path) -> Result<(Header, Records)> {
    let file = File::open(path).map_err(|error| Error::file(path, error))?;
    let mut records = Records { path: path.to_owned(), lines: BufReader::new(file).lines(), line: 0 };
    let header: Header = records.parse().unwrap_or_else(|| Err(Error::file(path, "the file is empty")))?;
    if header.format != FORMAT {
        let found = &header.format;
        return Err(Error::file(path, format!("this is a '{found}', and this program reads '{FORMAT}'")));
    }
    Ok((header, records))
}

/// The records of a file.
pub(super) struct Records {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    line: usize,
}

impl Records {
    fn parse<T: DeserializeOwned>(&mut self) -> Option<Result<T>> {
        let text = self.lines.next()?;
        self.line += 1;
        let value = text.map_err(|error| Error::file(&self.path, error)).and_then(|text| {
            serde_json::from_str(&text)
                .map_err(|error| Error::file(&self.path, format!("line {}: {error}", self.line)))
        });
        Some(value)
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        self.parse()
    }
}

mod hex_hash {
    use evenkeel_chain::Hash;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(hash)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        parse(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not 64 hex digits"))
    }

    pub(super) fn parse(text: &str) -> Option<Hash> {
        Hash::from_slice(&hex::decode(text).ok()?)
    }
}

mod hex_hashes {
    use evenkeel_chain::Hash;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    #[expect(clippy::ref_option, reason = "serde fixes the signature")]
    pub(super) fn serialize<S: Serializer>(
        hashes: &Option<Vec<Hash>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let texts = hashes.as_ref().map(|hashes| hashes.iter().map(Hash::to_string).collect::<Vec<_>>());
        texts.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<Hash>>, D::Error> {
        let Some(texts) = Option::<Vec<String>>::deserialize(deserializer)? else { return Ok(None) };
        let hashes: Option<Vec<Hash>> = texts.iter().map(|text| super::hex_hash::parse(text)).collect();
        hashes.map(Some).ok_or_else(|| D::Error::custom("a proof hash is not 64 hex digits"))
    }
}
