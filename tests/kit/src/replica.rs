//! A second process of a service, at addresses of its own.

use std::{fs, net::TcpListener, ops::Deref};

use anyhow::Context as _;

use crate::{
    environment::Environment,
    layout, ports,
    service::{Service, ServiceProcess},
};

/// One more process of a service, with the identity and the permissions of the first. Killed when
/// dropped.
pub struct Replica {
    process: ServiceProcess,
    address: String,
    /// Keeps others off its ports.
    _ports: TcpListener,
}

impl Replica {
    /// `host:port` of its gRPC port.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Deref for Replica {
    type Target = ServiceProcess;

    fn deref(&self) -> &ServiceProcess {
        &self.process
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.process.kill();
    }
}

impl Environment {
    /// Prepares a second process of a service. It is not started, and others know its address only
    /// when they are told.
    pub fn replica(&self, service: Service) -> anyhow::Result<Replica> {
        let ports = ports::claim()?;
        let directory = self.directory().join(format!("{service}-{}", ports.first));
        fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        let own = self.record();
        let record = crate::record::Record { port: ports.first, ..own.clone() };
        // The other services are where they were.
        let addresses = [Service::Executor, Service::Audit].map(|other| {
            let name = format!("EVENKEEL_{}", other.name().to_uppercase());
            (name, layout::address(own, other))
        });
        let process = layout::process(self.directory(), &record, self.authority(), service)?;
        let process = process.moved(&directory, addresses);
        let address = layout::address(&record, service);
        Ok(Replica { process, address, _ports: ports.guard })
    }
}
