//! A Jaeger to look at traces, and for tests to ask about them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::{
    error::Result,
    http::Client,
    instance::{Component, Instance, Kind},
    ports::{Number, Port},
    process::Program,
    ready,
    teardown::Logs,
    tools::{self, Tool},
};

/// A running Jaeger that keeps its traces in memory. Ends when dropped, unless it is kept.
#[derive(Debug)]
pub struct Jaeger {
    instance: Instance,
    number: Number,
    ends_on_drop: bool,
}

impl Jaeger {
    /// Starts one that ends with the returned value.
    pub fn start() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let instance = Instance::named(&format!("jaeger-{}-{number}", std::process::id()))?;
        tools::ensure(&[Tool::Jaeger])?;
        let _lock = instance.lock()?;
        Self::start_locked(instance, false)
    }

    /// The running one of this name, started if there is none. It stays up until
    /// [`down`](crate::down).
    pub fn find_or_start(name: &str) -> Result<Self> {
        let instance = Instance::named(name)?;
        tools::ensure(&[Tool::Jaeger])?;
        let _lock = instance.lock()?;
        match instance.record() {
            Some(record) if record.is_up() && record.kind == Kind::Jaeger => {
                Ok(Self { instance, number: record.number, ends_on_drop: false })
            }
            _ => Self::start_locked(instance, true),
        }
    }

    fn start_locked(instance: Instance, keep: bool) -> Result<Self> {
        let (number, guard) = instance.create(Kind::Jaeger, keep)?;
        if let Err(error) = bring_up(&instance, number) {
            let _ = instance.end(Logs::Keep);
            return Err(error);
        }
        drop(guard);
        instance.update(|record| record.ready = true)?;
        Ok(Self { instance, number, ends_on_drop: !keep })
    }

    /// Where spans go, over gRPC: a value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn otlp_endpoint(&self) -> String {
        format!("http://{}", address(self.number, Port::JaegerOtlp))
    }

    /// Where spans go over HTTP, with `/v1/traces` behind it.
    pub fn otlp_http_address(&self) -> SocketAddr {
        address(self.number, Port::JaegerOtlpHttp)
    }

    /// The page for people; below it `/api/traces/<id>` for programs.
    pub fn url(&self) -> String {
        format!("http://{}", address(self.number, Port::JaegerQuery))
    }

    /// Asks the query API, such as `/api/services`.
    pub fn query(&self, path: &str) -> Result<String> {
        Client::plain(address(self.number, Port::JaegerQuery)).get(path)
    }

    /// Its name, under which [`down`](crate::down) ends it.
    pub fn name(&self) -> &str {
        &self.instance.name
    }

    /// Ends it, also one that is kept.
    pub fn stop(mut self) -> Result<()> {
        self.ends_on_drop = false;
        crate::down(self.name()).map(drop)
    }
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        if self.ends_on_drop
            && let Err(error) = crate::down(self.name())
        {
            eprintln!("could not end {}: {error}", self.name());
        }
    }
}

fn address(number: Number, port: Port) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, number.port(port)).into()
}

fn bring_up(instance: &Instance, number: Number) -> Result<()> {
    let tools = tools::ensure(&[Tool::Jaeger])?;
    let ports = [
        ("collector.otlp.grpc.host-port", Port::JaegerOtlp),
        ("collector.otlp.http.host-port", Port::JaegerOtlpHttp),
        ("query.http-server.host-port", Port::JaegerQuery),
        ("query.grpc-server.host-port", Port::JaegerQueryGrpc),
        ("admin.http.host-port", Port::JaegerAdmin),
        ("collector.grpc-server.host-port", Port::JaegerCollector),
        ("collector.http-server.host-port", Port::JaegerCollectorHttp),
    ];
    let mut args: Vec<String> =
        ports.map(|(flag, port)| format!("--{flag}={}", address(number, port))).into();
    // Enough for a day of trying things, and no more memory than that.
    args.push("--memory.max-traces=20000".into());
    instance.spawn(Component::Jaeger, Program::new(tools.path(Tool::Jaeger)?, args))?;
    let query = Client::plain(address(number, Port::JaegerQuery));
    let (by, limit) = (Component::Jaeger, Duration::from_secs(30));
    ready::wait(instance, by, "Jaeger to answer", limit, || query.get("/api/services").ok())?;
    let otlp = address(number, Port::JaegerOtlp);
    ready::wait(instance, by, "Jaeger to take spans", limit, || std::net::TcpStream::connect(otlp).ok())?;
    Ok(())
}
