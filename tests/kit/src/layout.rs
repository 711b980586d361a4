//! How the processes of an environment are laid out: files, ports and variables.

use std::path::{Path, PathBuf};

use evenkeel_kit::tls::Authority;

use crate::{
    record::Record,
    service::{Service, ServiceProcess, Variables},
};

/// The cluster that tests share.
pub(crate) const TEST_CLUSTER: &str = "test";
/// Who people and tests are to the services.
pub(crate) const PERSON: &str = "evenkeel-cli";
/// Not a person's own, so that a service is the same from whichever shell it is started.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the environments of tests keep their files.
pub(crate) const TESTS: &str = "target/environments";

/// A service of which only its directory is known.
pub(crate) fn bare(directory: &Path, service: Service) -> ServiceProcess {
    ServiceProcess::new(service, Variables::new(), String::new(), directory)
}

/// Whether a service talks to the API server at all.
pub(crate) fn uses_cluster(service: Service) -> bool {
    service != Service::Audit
}

/// The kubeconfig of a service.
pub(crate) fn kubeconfig(directory: &Path, service: Service) -> PathBuf {
    directory.join(format!("{service}.kubeconfig"))
}

/// `host:port` of a service's gRPC port.
pub(crate) fn address(record: &Record, service: Service) -> String {
    format!("127.0.0.1:{}", record.port + 2 * service as u16)
}

/// `host:port` of a service's admin port.
fn admin_address(record: &Record, service: Service) -> String {
    format!("127.0.0.1:{}", record.port + 2 * service as u16 + 1)
}

/// A service as this environment runs it.
pub(crate) fn process(
    directory: &Path,
    record: &Record,
    authority: &Authority,
    service: Service,
) -> anyhow::Result<ServiceProcess> {
    let security = authority.identity(&format!("evenkeel-{service}"))?;
    let mut variables = record.settings.clone();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    let file = |path: Option<PathBuf>| path.map_or_else(String::new, |path| path.display().to_string());
    set("PATH", PATH.into());
    set("EVENKEEL_CA", file(security.ca));
    set("EVENKEEL_CERT", file(security.cert));
    set("EVENKEEL_KEY", file(security.key));
    set(&service.variable("LISTEN"), address(record, service));
    set(&service.variable("ADMIN_LISTEN"), admin_address(record, service));
    // By itself, a service lets in only those that need it to work.
    set("EVENKEEL_ALLOWED_CLIENTS", format!("evenkeel-controller,{PERSON}"));
    if let Some(endpoint) = &record.traces {
        set("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.clone());
        // Whoever looks at a trace here has just made it.
        set("OTEL_BSP_SCHEDULE_DELAY", "100".into());
    }
    match service {
        Service::Audit => {
            set("EVENKEEL_AUDIT_DATA", directory.join("audit-data").display().to_string());
        }
        Service::Executor | Service::Controller => {
            set("KUBECONFIG", kubeconfig(directory, service).display().to_string());
            set("EVENKEEL_NAMESPACE", record.namespace.clone());
            set("EVENKEEL_EXECUTION_NAMESPACE", record.execution_namespace.clone());
            set("EVENKEEL_EXECUTOR", address(record, Service::Executor));
            set("EVENKEEL_AUDIT", address(record, Service::Audit));
        }
    }
    let admin = format!("http://{}", admin_address(record, service));
    Ok(ServiceProcess::new(service, variables, admin, directory))
}
