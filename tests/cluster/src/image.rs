//! Container images without a container engine: an archive of one layer, a configuration and a
//! manifest, which a node takes in.

use std::{
    collections::BTreeSet,
    env::consts::ARCH,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Doing, Result};

/// An image to be.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    files: Vec<(String, Source, u32)>,
    entrypoint: Vec<String>,
    environment: Vec<String>,
    user: String,
}

#[derive(Clone, Debug)]
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Image {
    /// An empty image of this name and tag, such as `local/x:1`.
    pub fn new(name: &str) -> Self {
        let (files, entrypoint, environment) = (Vec::new(), Vec::new(), Vec::new());
        Self { name: name.into(), files, entrypoint, environment, user: String::new() }
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), Source::Bytes(content.into()), 0o644));
        self
    }

    /// Adds an executable, copied from `from`. It must be static: there is nothing else.
    #[must_use]
    pub fn program(mut self, path: &str, from: &Path) -> Self {
        self.files.push((path.into(), Source::File(from.into()), 0o755));
        self
    }

    /// What runs when nothing else is said.
    #[must_use]
    pub fn entrypoint<W: Into<String>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a variable to the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// Who runs it, as `uid:gid`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = user.into();
        self
    }

    pub(crate) fn entrypoint_name(&self) -> &str {
        self.entrypoint.last().map_or("image", String::as_str)
    }

    /// Its layer and its configuration.
    pub(crate) fn parts(&self) -> Result<(Vec<u8>, String)> {
        let layer = self.layer().doing(|| format!("pack image {}", self.name))?;
        let config = self.config(&digest(&layer)).to_string();
        Ok((layer, config))
    }

    /// Writes the archive. The same image gives the same bytes.
    pub fn write(&self, to: &Path) -> Result<()> {
        let (layer, config) = self.parts()?;
        let config_file = format!("{}.json", digest(config.as_bytes()));
        let layer_file = format!("{}.tar", digest(&layer));
        let manifest =
            json!([{ "Config": config_file, "RepoTags": [self.name], "Layers": [layer_file] }]).to_string();
        let parts = [
            (config_file, config.as_bytes()),
            (layer_file, layer.as_slice()),
            ("manifest.json".into(), manifest.as_bytes()),
        ];
        let pack = || {
            let mut archive = tar::Builder::new(fs::File::create(to)?);
            for (name, content) in parts {
                append(&mut archive, &name, content, 0o644)?;
            }
            archive.into_inner()?.flush()
        };
        pack().doing(|| format!("write {}", to.display()))
    }

    fn layer(&self) -> std::io::Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        // Any user may write here, as programs expect.
        append_directory(&mut layer, "tmp/", 0o1777)?;
        let mut made = BTreeSet::from(["tmp/".to_owned()]);
        for (path, source, mode) in &self.files {
            let path = path.trim_start_matches('/');
            for (end, _) in path.match_indices('/') {
                let directory = &path[..=end];
                if made.insert(directory.to_owned()) {
                    append_directory(&mut layer, directory, 0o755)?;
                }
            }
            match source {
                Source::Bytes(bytes) => append(&mut layer, path, bytes, *mode)?,
                Source::File(from) => append(&mut layer, path, &fs::read(from)?, *mode)?,
            }
        }
        layer.into_inner()
    }

    fn config(&self, layer_digest: &str) -> Value {
        let architecture = match ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Env": self.environment, "User": self.user },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
            "history": [{ "created_by": "evenkeel" }],
        })
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) fn append(
    archive: &mut tar::Builder<impl Write>,
    path: &str,
    content: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, content)
}

fn append_directory(archive: &mut tar::Builder<impl Write>, path: &str, mode: u32) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(mode);
    archive.append_data(&mut header, path, std::io::empty())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    fn entries(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let name = entry.path().unwrap().display().to_string();
            (name, (entry.header().mode().unwrap(), content))
        };
        archive.entries().unwrap().map(read).collect()
    }

    fn sample(dir: &Path) -> Image {
        fs::write(dir.join("program"), "#!").unwrap();
        Image::new("local/x:1")
            .program("/bin/x", &dir.join("program"))
            .file("/etc/deep/note", "hello")
            .entrypoint(["/bin/x"])
            .variable("A", "b")
            .user("65532:65532")
    }

    #[test]
    fn an_archive_holds_what_a_runtime_looks_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        sample(dir.path()).write(&path).unwrap();
        let parts = entries(&fs::read(path).unwrap());

        let manifest: Value = serde_json::from_slice(&parts["manifest.json"].1).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["local/x:1"]));
        let config: Value =
            serde_json::from_slice(&parts[manifest[0]["Config"].as_str().unwrap()].1).unwrap();
        let layer = &parts[manifest[0]["Layers"][0].as_str().unwrap()].1;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(layer)));
        assert_eq!(config["rootfs"]["diff_ids"], json!([digest]));
        assert_eq!(config["config"]["Entrypoint"], json!(["/bin/x"]));
        assert_eq!(config["config"]["Env"], json!(["A=b"]));
        assert_eq!(config["config"]["User"], "65532:65532");

        let files = entries(layer);
        assert_eq!(files["bin/x"], (0o755, b"#!".to_vec()));
        assert_eq!(files["etc/deep/note"], (0o644, b"hello".to_vec()));
        assert_eq!(files["tmp/"].0, 0o1777);
        assert!(files.contains_key("etc/") && files.contains_key("etc/deep/"));
    }

    #[test]
    fn the_same_image_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| {
            let path = dir.path().join(name);
            sample(dir.path()).write(&path).unwrap();
            fs::read(path).unwrap()
        });
        assert_eq!(a, b);
    }
}
