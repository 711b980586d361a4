//! The Job of a run.

use evenkeel_core::target::{label_value, volume_name};
use evenkeel_kit::trace::Carrier;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, EnvVar, PodSecurityContext,
            PodSpec, PodTemplateSpec, SeccompProfile, SecretVolumeSource, SecurityContext, Volume,
            VolumeMount,
        },
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{CONTAINER, ENGINE};
use crate::{
    attempt::Attempt,
    config::Hardening,
    marks::{self, ENGINE_LABEL, EXECUTION_LABEL, texts},
    parse::TARGET_VARIABLE,
};

const SECRETS: &str = "/run/kubernaut/secrets";
const CONFIG_MAPS: &str = "/run/kubernaut/configmaps";
const SCRATCH: &str = "/tmp";

/// Renders the Job of an attempt, suspended.
pub(crate) fn job(
    attempt: &Attempt,
    namespace: &str,
    token: i64,
    trace: Option<&Carrier>,
    hardening: Hardening,
) -> Job {
    Job {
        metadata: marks::metadata(attempt, ENGINE, namespace, token),
        spec: Some(JobSpec {
            suspend: Some(true),
            backoff_limit: Some(0),
            active_deadline_seconds: i64::try_from(attempt.timeout.as_secs().max(1)).ok(),
            // No ttlSecondsAfterFinished: no run may vanish before its outcome is recorded.
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(texts(&[
                        (EXECUTION_LABEL, &label_value(&attempt.owner.name)),
                        (ENGINE_LABEL, ENGINE),
                    ])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(attempt, trace, hardening)),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn pod(attempt: &Attempt, trace: Option<&Carrier>, hardening: Hardening) -> PodSpec {
    let mut mounts = vec![mount("tmp", SCRATCH, false)];
    let mut volumes = vec![Volume {
        name: "tmp".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }];
    for secret in &attempt.secrets {
        let name = volume_name("secret", secret);
        mounts.push(mount(&name, &format!("{SECRETS}/{secret}"), true));
        let source =
            SecretVolumeSource { secret_name: Some(secret.clone()), ..SecretVolumeSource::default() };
        volumes.push(Volume { name, secret: Some(source), ..Volume::default() });
    }
    for config_map in &attempt.config_maps {
        let name = volume_name("configmap", config_map);
        mounts.push(mount(&name, &format!("{CONFIG_MAPS}/{config_map}"), true));
        let source = ConfigMapVolumeSource { name: config_map.clone(), ..ConfigMapVolumeSource::default() };
        volumes.push(Volume { name, config_map: Some(source), ..Volume::default() });
    }
    let account = &attempt.service_account;
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        service_account_name: (!account.is_empty()).then(|| account.clone()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(hardening.run_as_non_root),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(attempt, trace, hardening, mounts)],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn container(
    attempt: &Attempt,
    trace: Option<&Carrier>,
    hardening: Hardening,
    mounts: Vec<VolumeMount>,
) -> Container {
    Container {
        name: CONTAINER.to_owned(),
        image: Some(attempt.bundle.clone()),
        env: Some(environment(attempt, trace)),
        volume_mounts: Some(mounts),
        // Its last words come with its exit code, in one piece and to nobody who cannot see the pod.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            read_only_root_filesystem: Some(hardening.read_only_root),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// The target first, then what the workflow was given, then where it may write and which trace it
/// belongs to. What we set cannot be set by a parameter, so that no name is there twice.
fn environment(attempt: &Attempt, trace: Option<&Carrier>) -> Vec<EnvVar> {
    let mut ours = vec![(TARGET_VARIABLE, attempt.target.as_str()), ("HOME", SCRATCH), ("TMPDIR", SCRATCH)];
    if let Some(trace) = trace {
        ours.push(("TRACEPARENT", &trace.traceparent));
        ours.extend(Some(("TRACESTATE", trace.tracestate.as_str())).filter(|(_, state)| !state.is_empty()));
    }
    let given = attempt.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let given = given.filter(|(name, _)| !is_ours(name));
    let (first, rest) = ours.split_at(1);
    first.iter().copied().chain(given).chain(rest.iter().copied()).map(variable).collect()
}

fn is_ours(name: &str) -> bool {
    matches!(name, TARGET_VARIABLE | "HOME" | "TMPDIR" | "TRACEPARENT" | "TRACESTATE")
}

fn variable((name, value): (&str, &str)) -> EnvVar {
    // Kubernetes expands $(NAME) in values; doubling the dollar keeps a value what it is.
    EnvVar { name: name.to_owned(), value: Some(value.replace("$(", "$$(")), value_from: None }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
