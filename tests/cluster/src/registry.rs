//! An image registry on the host, in reach of pods, of the container runtime and of Tekton.

use std::{collections::BTreeMap, fs, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    bundle::Bundle,
    cluster::Cluster,
    error::{Doing, Error, Result},
    http::Client,
    image::Image,
    instance::Component,
    ports::Port,
    process::Program,
    ready,
    tekton::DEMO_STEP,
    tier::Tier,
    tools::{self, Tool},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The registry of a cluster. What was pushed stays as long as the cluster, also while the
/// registry is down.
#[derive(Clone, Copy, Debug)]
pub struct Registry {
    address: SocketAddr,
}

impl Registry {
    /// `host:port`, as references begin.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The reference of something in it, such as `workflows/restart:1.0.0`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes an image under a name and tag, such as `tools/probe:1`. The reference by its digest.
    pub fn push_image(&self, name: &str, image: &Image) -> Result<String> {
        let (layer, config) = image.parts()?;
        self.push(name, &Part::config(&config), &[Part::layer(layer)])
    }

    /// Pushes a workflow bundle under a name and tag, such as `workflows/restart:1.0.0`. The
    /// reference by its digest.
    pub fn push_bundle(&self, name: &str, bundle: &Bundle) -> Result<String> {
        let (config, layers) = bundle.parts()?;
        self.push(name, &config, &layers)
    }

    /// Pushes [`Bundle::demo`] with the demo image that came with Tekton. The reference by its digest,
    /// which is always the same.
    pub fn push_demo_bundle(&self) -> Result<String> {
        self.push_bundle("evenkeel/demo-workflow:1", &Bundle::demo(&self.reference(DEMO_STEP)))
    }

    fn push(&self, name: &str, config: &Part, layers: &[Part]) -> Result<String> {
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let client = Client::plain(self.address);
        for part in layers.iter().chain([config]) {
            let path = format!("/v2/{repository}/blobs/uploads/?digest={}", part.digest());
            client.create("POST", &path, "application/octet-stream", &part.content)?;
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.describe(),
            "layers": layers.iter().map(Part::describe).collect::<Vec<_>>(),
        });
        let manifest = manifest.to_string();
        let path = format!("/v2/{repository}/manifests/{tag}");
        client.create("PUT", &path, MANIFEST, manifest.as_bytes())?;
        Ok(self.reference(&format!("{repository}@{}", digest(manifest.as_bytes()))))
    }
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// A configuration or a layer.
pub(crate) struct Part {
    media_type: &'static str,
    content: Vec<u8>,
    annotations: BTreeMap<String, String>,
}

impl Part {
    pub(crate) fn config(text: &str) -> Self {
        Self { media_type: CONFIG, content: text.into(), annotations: BTreeMap::new() }
    }

    /// A layer: a tar archive.
    pub(crate) fn layer(content: Vec<u8>) -> Self {
        Self { media_type: LAYER, content, annotations: BTreeMap::new() }
    }

    pub(crate) fn annotated(self, annotations: BTreeMap<String, String>) -> Self {
        Self { annotations, ..self }
    }

    #[cfg(test)]
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(crate) fn digest(&self) -> String {
        digest(&self.content)
    }

    /// As a manifest names it.
    pub(crate) fn describe(&self) -> Value {
        let mut description =
            json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.content.len() });
        if !self.annotations.is_empty() {
            description["annotations"] = json!(self.annotations);
        }
        description
    }
}

impl Cluster {
    /// Its registry, started if it does not run, also after a test killed it. Needs the node tier.
    ///
    /// [`kill`](Self::kill) and [`restart`](Self::restart) with [`Component::Registry`] take it
    /// down and bring it back.
    pub fn registry(&self) -> Result<Registry> {
        if self.tier != Tier::Node {
            return Err(Error::NeedsNode(self.name().into()));
        }
        let tools = tools::ensure(&[Tool::Registry])?;
        let address = (self.number.host_address(), self.number.port(Port::Registry)).into();
        let instance = &self.instance;
        let _lock = instance.lock_part("registry")?;
        if !self.is_alive(Component::Registry) {
            self.let_runtime_use(address)?;
            let args = [format!("--address={address}"), format!("--dir={}", instance.arg("registry"))];
            instance.spawn(Component::Registry, Program::new(tools.path(Tool::Registry)?, args))?;
        }
        let client = Client::plain(address);
        let (by, limit) = (Component::Registry, Duration::from_secs(30));
        ready::wait(instance, by, "the registry to answer", limit, || client.get("/v2/").ok())?;
        Ok(Registry { address })
    }

    /// The container runtime asks only registries that are said to speak in the clear that way. It
    /// reads this at each pull.
    fn let_runtime_use(&self, address: SocketAddr) -> Result<()> {
        let dir = self.instance.file("registries").join(address.to_string());
        fs::create_dir_all(&dir).doing(|| format!("create {}", dir.display()))?;
        let path = dir.join("hosts.toml");
        let hosts = format!(
            "server = \"http://{address}\"\n\n[host.\"http://{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
        );
        fs::write(&path, hosts).doing(|| format!("write {}", path.display()))
    }
}
