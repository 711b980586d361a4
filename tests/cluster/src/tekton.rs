//! Tekton Pipelines on a node: its controller, its admission webhook and its resolvers, from the
//! manifests of its own source, with images of programs built here.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    cluster::Cluster,
    containerd::{self, DEMO_IMAGE},
    control_plane,
    error::{Doing, Error, Result},
    image::Image,
    instance::{Component, Instance},
    packages, process,
    progress::Progress,
    tier::{self, Tier},
    tools::{self, Tool, Toolbox},
};

/// What must be built before Tekton can be installed.
pub(crate) const TOOLS: [Tool; 9] = [
    Tool::Registry,
    Tool::Kubectl,
    Tool::TektonController,
    Tool::TektonWebhook,
    Tool::TektonResolvers,
    Tool::TektonEntrypoint,
    Tool::TektonNop,
    Tool::TektonWorkingdirinit,
    Tool::TektonSidecarlogresults,
];

/// An image with a shell and the usual small programs, for steps with a script. Only where this
/// machine has a static busybox.
pub const SHELL_IMAGE: &str = "local/shell:1";

/// The demo image as the registry has it: a step without `command` makes Tekton read its image
/// from there. See [`Registry::reference`](crate::Registry::reference).
pub const DEMO_STEP: &str = "evenkeel/demo:1";

/// Its Deployments, by namespace.
const DEPLOYMENTS: [(&str, &str); 3] = [
    ("tekton-pipelines", "tekton-pipelines-webhook"),
    ("tekton-pipelines", "tekton-pipelines-controller"),
    ("tekton-pipelines-resolvers", "tekton-pipelines-remote-resolvers"),
];

/// Not wanted: they send events to a sink and react to load, and no test has either.
const LEFT_OUT: [&str; 2] = ["events.yaml", "webhook-hpa.yaml"];

const IMAGE_SOURCE: &str = "ko://github.com/tektoncd/pipeline/cmd/";
const SHELL_SOURCE: &str = "cgr.dev/chainguard/busybox@sha256:";

/// Tekton's definitions alone, as manifests, for a cluster in which its kinds are known and nobody runs
/// them.
pub fn tekton_definitions() -> Result<String> {
    let (_, manifests) = tools::tekton_manifests()?;
    read(&manifests.join("300-crds"))
}

impl Cluster {
    /// Tekton in this cluster and the [registry](Self::registry) with the demo image: installed if
    /// they are not there, and ready when this returns. Needs the node tier.
    pub fn tekton(&self) -> Result<()> {
        if self.tier != Tier::Node {
            return Err(Error::TektonNeedsNode(tier::node_hindrance()));
        }
        let tools = tools::ensure(&TOOLS)?;
        // Several test programs may ask at once.
        let _lock = self.instance.lock_part("tekton")?;
        if self.has_tekton() {
            return self.wait_webhook();
        }
        let server = self.instance.running(Component::ApiServer)?.program;
        if !server.args.iter().any(|argument| argument == control_plane::WEBHOOKS_IN_PODS) {
            return Err(Error::TooOld(self.name().into()));
        }
        let progress = Progress::new(true, Duration::from_secs(20));
        let demo = tools::ensure(&[Tool::Demo])?;
        let demo = containerd::image(DEMO_IMAGE, demo.path(Tool::Demo)?, "workflow");
        self.registry()?.push_image(DEMO_STEP, &demo)?;
        progress.step("registry has the demo image");
        let (version, manifests) = tools::tekton_manifests()?;
        import(&self.instance, &tools, &version)?;
        progress.step("container runtime has Tekton");
        let objects = render(&read(&manifests)?, &version, shell().is_some());
        self.kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &objects)?;
        progress.step("Tekton is applied");
        for (namespace, deployment) in DEPLOYMENTS {
            let deployment = format!("deployment/{deployment}");
            let wait = ["--namespace", namespace, "rollout", "status", "--timeout=180s", &deployment];
            self.kubectl(&wait).map_err(|error| self.not_ready(&error.to_string()))?;
        }
        self.wait_webhook()?;
        progress.step("Tekton is ready");
        let installed = self.instance.file("tekton.installed");
        fs::write(&installed, version).doing(|| format!("write {}", installed.display()))
    }

    /// Whether Tekton is installed in it.
    pub fn has_tekton(&self) -> bool {
        self.instance.file("tekton.installed").exists()
    }

    /// Whether [`SHELL_IMAGE`] comes with Tekton here.
    pub fn has_shell(&self) -> bool {
        self.tier == Tier::Node && shell().is_some()
    }

    /// Waits until the webhook fills in what a run leaves open and refuses what is wrong: it takes
    /// up each of the two by itself after its start.
    fn wait_webhook(&self) -> Result<()> {
        let create = |spec: &str| {
            let run = format!(
                "{{\"apiVersion\": \"tekton.dev/v1\", \"kind\": \"PipelineRun\", \
                 \"metadata\": {{\"name\": \"probe\", \"namespace\": \"default\"}}, \"spec\": {spec}}}"
            );
            let path = "jsonpath={.spec.taskRunTemplate.serviceAccountName}";
            self.kubectl_with(&["create", "--dry-run=server", "-o", path, "-f", "-"], &run)
        };
        let mut last = String::new();
        let mut works = || {
            let (filled, refused) = (create(r#"{"pipelineRef": {"name": "probe"}}"#), create("{}"));
            let fills = filled.as_ref().is_ok_and(|account| account == "default");
            let refuses =
                refused.as_ref().is_err_and(|error| error.to_string().contains("denied the request"));
            last = format!("its webhook answered {filled:?} and {refused:?}");
            (fills && refuses).then_some(())
        };
        let (limit, pause) = (Duration::from_mins(2), Duration::from_millis(200));
        let works = process::poll_until(limit, pause, &mut works);
        works.ok_or_else(|| self.not_ready(&last))
    }

    fn not_ready(&self, why: &str) -> Error {
        let pods = self.kubectl(&["get", "pods", "--all-namespaces", "-o", "wide"]);
        Error::Tekton { why: why.into(), pods: pods.unwrap_or_else(|error| error.to_string()) }
    }
}

/// The image of one of Tekton's programs.
fn image_name(tool: Tool, version: &str) -> String {
    format!("local/tekton-{}:{version}", tool.name())
}

/// Takes the images of all of its programs into the node.
fn import(instance: &Instance, tools: &Toolbox, version: &str) -> Result<()> {
    let mut images = Vec::new();
    for tool in Tool::TEKTON {
        let program = format!("/ko-app/{}", tool.name());
        let image = Image::new(&image_name(tool, version))
            .program(&program, tools.path(tool)?)
            .entrypoint([program])
            // From here they read which version they are.
            .variable("KO_DATA_PATH", "/var/run/ko")
            .file("/var/run/ko/HEAD", version)
            .user("65532:65532");
        images.push(image);
    }
    if let Some(busybox) = shell() {
        // It finds the small programs in itself.
        images.push(Image::new(SHELL_IMAGE).program("/bin/sh", &busybox).variable("PATH", "/bin"));
    }
    let archive = instance.file("tekton.tar");
    for image in images {
        image.write(&archive)?;
        containerd::import(instance, &archive)?;
    }
    fs::remove_file(&archive).doing(|| format!("remove {}", archive.display()))
}

/// All manifests in the order of their names: namespaces, roles, definitions, then the rest.
fn read(dir: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    let mut all = String::new();
    for path in files {
        all += "\n---\n";
        all += &fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    }
    Ok(all)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).doing(|| format!("read {}", dir.display()))?.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|kind| kind == "yaml")
            && !LEFT_OUT.iter().any(|out| name == *out)
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Makes manifests of source into manifests of this version with local images.
fn render(source: &str, version: &str, with_shell: bool) -> String {
    let mut text = source.to_owned();
    for tool in Tool::TEKTON {
        text = text.replace(&format!("{IMAGE_SOURCE}{}", tool.name()), &image_name(tool, version));
    }
    // A start in front of the program that collects the children of git, which nobody uses here.
    text = text.replace("        - /sbin/tini\n        - --\n", "");
    if with_shell && let Some(start) = text.find(SHELL_SOURCE) {
        let end = text[start..].find('"').map_or(text.len(), |length| start + length);
        text.replace_range(start..end, SHELL_IMAGE);
    }
    // Whoever waits for them would rather know at once that they are ready.
    let probes = "initialDelaySeconds: 5\n          periodSeconds: 10";
    let at_once = "initialDelaySeconds: 0\n          periodSeconds: 1";
    let mut parts = text.split("readinessProbe:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + "readinessProbe:" + &part.replacen(probes, at_once, 1))
}

/// A busybox that needs no libraries, so that it is an image by itself.
fn shell() -> Option<PathBuf> {
    packages::program("busybox").filter(|path| fs::read(path).is_ok_and(|bytes| is_static(&bytes)))
}

/// Whether a 64-bit program names no interpreter, as the kernel reads it.
fn is_static(program: &[u8]) -> bool {
    const INTERPRETER: [u8; 4] = 3_u32.to_le_bytes();
    let number = |at: usize, length: usize| {
        let bytes = program.get(at..at + length)?;
        bytes.iter().rev().try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()))
    };
    let headers = || {
        let (first, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let kinds = (0..count).map(|index| program.get(first + index * size..)?.get(..4));
        kinds.collect::<Option<Vec<_>>>()
    };
    program.starts_with(b"\x7fELF\x02\x01")
        && headers().is_some_and(|kinds| !kinds.contains(&&INTERPRETER[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        image: ko://github.com/tektoncd/pipeline/cmd/controller
          "-nop-image", "ko://github.com/tektoncd/pipeline/cmd/nop",
          "-shell-image", "cgr.dev/chainguard/busybox@sha256:19f02276",
        command:
        - /sbin/tini
        - --
        - /ko-app/resolvers
        livenessProbe:
          initialDelaySeconds: 5
          periodSeconds: 10
        readinessProbe:
          initialDelaySeconds: 5
          periodSeconds: 10
"#;

    #[test]
    fn manifests_name_local_images() {
        let text = render(SOURCE, "1.2.3", true);
        assert!(text.contains("image: local/tekton-controller:1.2.3\n"), "{text}");
        assert!(text.contains("\"-nop-image\", \"local/tekton-nop:1.2.3\","), "{text}");
        assert!(text.contains("\"-shell-image\", \"local/shell:1\","), "{text}");
        assert!(text.contains("command:\n        - /ko-app/resolvers\n"), "{text}");
        assert!(text.contains("livenessProbe:\n          initialDelaySeconds: 5"), "{text}");
        assert!(text.contains("readinessProbe:\n          initialDelaySeconds: 0"), "{text}");
        assert!(render(SOURCE, "1.2.3", false).contains("busybox@sha256:19f02276"));
    }

    #[test]
    fn a_program_with_an_interpreter_is_not_static() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&own));
        assert!(!is_static(b"#!/bin/sh") && !is_static(b"\x7fELF\x02\x01"));
    }
}
