//! The programs a cluster is made of, built once from pinned Go modules into a cache outside the
//! checkout, and again only when the pins change.

use std::{
    collections::BTreeMap,
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    error::{Doing, Error, Result},
    paths, progress,
};

/// The module of Tekton's programs and manifests.
const TEKTON: &str = "github.com/tektoncd/pipeline";

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is known by its name")]
pub enum Tool {
    Etcd,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
    Kubectl,
    Kubelet,
    Jaeger,
    Grpcurl,
    Buf,
    /// The program of the demo and pause images.
    Demo,
    /// Where images and workflow bundles are pushed to.
    Registry,
    TektonController,
    TektonWebhook,
    TektonResolvers,
    TektonEntrypoint,
    TektonNop,
    TektonWorkingdirinit,
    TektonSidecarlogresults,
}

impl Tool {
    /// All but Tekton's.
    pub const ALL: [Self; 11] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kubelet,
        Self::Jaeger,
        Self::Grpcurl,
        Self::Buf,
        Self::Demo,
        Self::Registry,
    ];

    /// The programs of Tekton, each of which is the only one in an image.
    pub const TEKTON: [Self; 7] = [
        Self::TektonController,
        Self::TektonWebhook,
        Self::TektonResolvers,
        Self::TektonEntrypoint,
        Self::TektonNop,
        Self::TektonWorkingdirinit,
        Self::TektonSidecarlogresults,
    ];

    /// Name of the executable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kubelet => "kubelet",
            Self::Jaeger => "jaeger",
            Self::Grpcurl => "grpcurl",
            Self::Buf => "buf",
            Self::Demo => "demo",
            Self::Registry => "registry",
            Self::TektonController => "controller",
            Self::TektonWebhook => "webhook",
            Self::TektonResolvers => "resolvers",
            Self::TektonEntrypoint => "entrypoint",
            Self::TektonNop => "nop",
            Self::TektonWorkingdirinit => "workingdirinit",
            Self::TektonSidecarlogresults => "sidecarlogresults",
        }
    }

    fn module(self) -> Module {
        let (folder, requirement) = match self {
            Self::Etcd => ("etcd", "go.etcd.io/etcd/server/v3"),
            Self::Jaeger => ("jaeger", "github.com/jaegertracing/jaeger"),
            Self::Grpcurl => ("grpcurl", "github.com/fullstorydev/grpcurl"),
            Self::Buf => ("buf", "github.com/bufbuild/buf"),
            Self::Demo => ("demo", ""),
            Self::Registry => ("registry", "github.com/google/go-containerregistry"),
            tekton if Self::TEKTON.contains(&tekton) => ("tekton", TEKTON),
            _ => ("kubernetes", "k8s.io/kubernetes"),
        };
        Module { folder, requirement }
    }

    /// How long it takes to build on two processors, after those listed before it in
    /// [`ALL`](Self::ALL) and [`TEKTON`](Self::TEKTON): they share most of their packages.
    fn first_build(self) -> &'static str {
        match self {
            Self::KubeApiserver | Self::Jaeger => "3 min",
            Self::TektonController => "2 min",
            Self::Buf | Self::Etcd => "1 min",
            Self::KubeControllerManager => "40 s",
            Self::Grpcurl | Self::Kubelet => "30 s",
            Self::KubeScheduler
            | Self::Kubectl
            | Self::Registry
            | Self::TektonWebhook
            | Self::TektonResolvers
            | Self::TektonEntrypoint
            | Self::TektonSidecarlogresults => "15 s",
            Self::Demo | Self::TektonNop | Self::TektonWorkingdirinit => "3 s",
        }
    }

    fn package(self) -> String {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3".into(),
            Self::Jaeger => "github.com/jaegertracing/jaeger/cmd/all-in-one".into(),
            Self::Grpcurl => "github.com/fullstorydev/grpcurl/cmd/grpcurl".into(),
            Self::Buf => "github.com/bufbuild/buf/cmd/buf".into(),
            Self::Demo | Self::Registry => ".".into(),
            tekton if Self::TEKTON.contains(&tekton) => format!("{TEKTON}/cmd/{}", self.name()),
            _ => format!("k8s.io/kubernetes/cmd/{}", self.name()),
        }
    }

    /// Taken as it is from a directory a person prepared, as other Kubernetes test suites do.
    fn prepared(self, assets: Option<&Path>) -> Option<PathBuf> {
        let is_among_them = matches!(self, Self::Etcd | Self::KubeApiserver | Self::Kubectl);
        let path = assets.filter(|_| is_among_them)?.join(self.name());
        path.is_file().then_some(path)
    }
}

/// Where the programs asked for are.
#[derive(Clone, Debug, Default)]
pub struct Toolbox(BTreeMap<Tool, PathBuf>);

impl Toolbox {
    /// The executable of a tool that was asked for.
    pub fn path(&self, tool: Tool) -> Result<&Path> {
        let missing = || Error::Build { program: tool.name().into(), output: "it was not asked for".into() };
        self.0.get(&tool).map(PathBuf::as_path).ok_or_else(missing)
    }
}

/// Finds the programs, building what is missing. Says so while it takes long.
pub fn ensure(tools: &[Tool]) -> Result<Toolbox> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let mut found = BTreeMap::new();
    for &tool in tools {
        let path = tool.prepared(assets.as_deref()).map_or_else(|| built(tool), Ok)?;
        found.insert(tool, path);
    }
    Ok(Toolbox(found))
}

fn built(tool: Tool) -> Result<PathBuf> {
    let module = tool.module();
    let home = module.home()?;
    let path = home.join("bin").join(tool.name());
    if path.is_file() {
        return Ok(path);
    }
    let bin = home.join("bin");
    fs::create_dir_all(&bin).doing(|| format!("create {}", bin.display()))?;
    let lock = File::create(home.join("lock")).doing(|| format!("lock {}", home.display()))?;
    if lock.try_lock().is_err() {
        let what = format!("waiting for another build of {}", module.title(tool));
        progress::long(&what, || lock.lock()).doing(|| format!("lock {}", home.display()))?;
    }
    // Somebody else may have built it meanwhile.
    if path.is_file() {
        return Ok(path);
    }
    let unfinished = home.join(format!("{}.unfinished", tool.name()));
    let title = module.title(tool);
    let what = format!("building {title} (about {}, once)", tool.first_build());
    progress::long(&what, || module.build(tool, &unfinished, &title))?;
    fs::rename(&unfinished, &path).doing(|| format!("keep {}", path.display()))?;
    Ok(path)
}

/// The pinned version of Tekton, and the directory of its manifests, which come with its source.
pub(crate) fn tekton_manifests() -> Result<(String, PathBuf)> {
    let module = Tool::TektonController.module();
    let failed = |output: String| Error::Build { program: module.title(Tool::TektonController), output };
    // It answers from the module cache, and fetches what is no longer there.
    let output =
        module.go().args(["mod", "download", "-json", TEKTON]).output().map_err(|_| Error::GoMissing)?;
    let printed = || String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|_| failed(printed()))?;
    let dir = answer["Dir"].as_str().map(|dir| Path::new(dir).join("config"));
    match (module.version(), dir) {
        (Some(version), Some(dir)) => Ok((version, dir)),
        _ => Err(failed(printed())),
    }
}

/// A folder with a `go.mod` that pins programs.
struct Module {
    folder: &'static str,
    requirement: &'static str,
}

impl Module {
    fn source(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(self.folder)
    }

    /// The pinned version, without its `v`.
    fn version(&self) -> Option<String> {
        let pins = fs::read_to_string(self.source().join("go.mod")).ok()?;
        let start = format!("{} v", self.requirement);
        let line = pins.lines().find_map(|line| line.trim().strip_prefix(&start).map(str::to_owned))?;
        line.split_whitespace().next().map(str::to_owned)
    }

    fn title(&self, tool: Tool) -> String {
        let version = self.version().map(|version| format!(" {version}")).unwrap_or_default();
        match self.folder {
            "kubernetes" | "tekton" => format!("{}{version} {}", self.folder, tool.name()),
            _ => format!("{}{version}", tool.name()),
        }
    }

    fn linker_flags(&self) -> String {
        let strip = "-s -w";
        match (self.folder, self.version()) {
            // Without these stamps its programs do not start.
            ("kubernetes", Some(version)) => {
                let mut parts = version.split('.');
                let (major, minor) = (parts.next().unwrap_or("1"), parts.next().unwrap_or("0"));
                let stamp = "-X k8s.io/component-base/version.git";
                format!("{strip} {stamp}Version=v{version} {stamp}Major={major} {stamp}Minor={minor}")
            }
            _ => strip.into(),
        }
    }

    /// The directory in the cache, named after all that decides what is built.
    fn home(&self) -> Result<PathBuf> {
        let source = self.source();
        let mut hash = Sha256::new();
        let mut files: Vec<PathBuf> = fs::read_dir(&source)
            .doing(|| format!("read {}", source.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension().is_some_and(|kind| kind == "mod" || kind == "sum" || kind == "go")
            })
            .collect();
        files.sort();
        for file in files {
            let content = fs::read(&file).doing(|| format!("read {}", file.display()))?;
            hash.update(content.len().to_be_bytes());
            hash.update(content);
        }
        hash.update(self.linker_flags());
        hash.update(self.go_version()?);
        let hash = hex::encode(hash.finalize());
        Ok(paths::tools()?.join(format!("{}-{}", self.folder, &hash[..12])))
    }

    /// Asked once: all modules are built by the same Go.
    fn go_version(&self) -> Result<&'static str> {
        static VERSION: OnceLock<String> = OnceLock::new();
        match VERSION.get() {
            Some(version) => Ok(version),
            None => self.ask_go_version().map(|version| VERSION.get_or_init(|| version).as_str()),
        }
    }

    fn ask_go_version(&self) -> Result<String> {
        let output = self.go().args(["env", "GOVERSION"]).output().map_err(|_| Error::GoMissing)?;
        let print = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            return Ok(print(&output.stdout));
        }
        Err(Error::Build { program: self.folder.into(), output: print(&output.stderr) })
    }

    fn go(&self) -> Command {
        let mut go = Command::new("go");
        go.current_dir(self.source());
        // Static programs that are the same wherever they are built, whatever a person set for
        // their own work.
        go.env("CGO_ENABLED", "0").env("GOFLAGS", "").env("GOWORK", "off");
        go.env_remove("GOOS").env_remove("GOARCH");
        go
    }

    fn build(&self, tool: Tool, to: &Path, title: &str) -> Result<()> {
        let mut go = self.go();
        go.args(["build", "-trimpath", "-mod=readonly", "-buildvcs=false"]);
        go.arg("-ldflags").arg(self.linker_flags()).arg("-o").arg(to).arg(tool.package());
        let output = go.output().map_err(|_| Error::GoMissing)?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        Err(Error::Build { program: title.into(), output: end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_pins_its_version() {
        let own = [Tool::Demo];
        for tool in Tool::ALL.into_iter().chain(Tool::TEKTON).filter(|tool| !own.contains(tool)) {
            assert!(tool.module().version().is_some(), "{} has no version", tool.name());
        }
    }

    #[test]
    fn prepared_programs_are_taken_where_there_are_some() {
        let assets = tempfile::tempdir().unwrap();
        let etcd = assets.path().join("etcd");
        std::fs::write(&etcd, "").unwrap();
        assert_eq!(Tool::Etcd.prepared(Some(assets.path())), Some(etcd));
        assert_eq!(Tool::Etcd.prepared(None), None);
        assert_eq!(Tool::KubeApiserver.prepared(Some(assets.path())), None, "it is not there");
        std::fs::write(assets.path().join("kubelet"), "").unwrap();
        assert_eq!(Tool::Kubelet.prepared(Some(assets.path())), None, "such directories have none that fits");
    }

    #[test]
    fn kubernetes_is_stamped_with_its_version() {
        let module = Tool::Kubelet.module();
        let version = module.version().unwrap();
        assert!(module.linker_flags().contains(&format!("gitVersion=v{version}")));
        assert!(!Tool::Etcd.module().linker_flags().contains("-X"));
    }
}
