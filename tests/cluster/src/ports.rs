//! The number of an instance, and all that follows from it: ports, addresses, names.
//!
//! Ports are below the range from which systems give ports to outgoing connections, so nobody is
//! handed one of ours by chance.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use serde::{Deserialize, Serialize};

const FIRST: u16 = 20_000;
const EACH: u16 = 20;

/// The number of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Number(pub(crate) u8);

/// What listens on a port of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Port {
    EtcdClient,
    EtcdPeer,
    ApiServer,
    ControllerManager,
    Scheduler,
    Kubelet,
    KubeletHealth,
    JaegerOtlp,
    JaegerOtlpHttp,
    JaegerQuery,
    JaegerQueryGrpc,
    JaegerAdmin,
    JaegerCollector,
    JaegerCollectorHttp,
    Registry,
    /// Held while an instance starts, so that nobody else takes its number.
    Guard = 19,
}

impl Number {
    /// How many instances fit.
    pub(crate) const COUNT: usize = 250;

    pub(crate) fn port(self, port: Port) -> u16 {
        FIRST + u16::from(self.0) * EACH + port as u16
    }

    /// The host as pods see it.
    pub(crate) fn host_address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 250, self.0, 1)
    }

    /// The addresses of pods.
    pub(crate) fn pods(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    /// The addresses of Services.
    pub(crate) fn services(self) -> String {
        format!("10.96.{}.0/24", self.0)
    }

    /// The `kubernetes` Service.
    pub(crate) fn first_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, self.0, 1)
    }

    /// The cluster's name server, once there is one.
    pub(crate) fn dns(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, self.0, 10)
    }

    /// The empty bridge that carries the host's address.
    pub(crate) fn host_bridge(self) -> String {
        format!("ekh{}", self.0)
    }

    /// The bridge of the pods.
    pub(crate) fn pod_bridge(self) -> String {
        format!("ekp{}", self.0)
    }

    /// The name under which the instance appears system-wide: node, cgroup, table of rules.
    pub(crate) fn label(self) -> String {
        format!("evenkeel-{}", self.0)
    }
}

/// The lowest number not `taken`, whose ports are free and whose bridge does not exist; and the
/// guard to hold until its processes have their ports.
pub(crate) fn claim(taken: &BTreeSet<Number>) -> Option<(Number, TcpListener)> {
    let count = u8::try_from(Number::COUNT).unwrap_or(u8::MAX);
    (0..count).map(Number).filter(|number| !taken.contains(number)).find_map(|number| {
        let free =
            |offset| TcpListener::bind((Ipv4Addr::UNSPECIFIED, FIRST + u16::from(number.0) * EACH + offset));
        let guard = free(Port::Guard as u16).ok()?;
        let bridged = Path::new("/sys/class/net").join(number.host_bridge()).exists();
        (!bridged && (0..Port::Guard as u16).all(|offset| free(offset).is_ok())).then_some((number, guard))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_two_starters_differ() {
        let (first, guard) = claim(&BTreeSet::new()).unwrap();
        let (second, _guard) = claim(&BTreeSet::new()).unwrap();
        assert!(first < second, "the guard of the first holds its number");
        drop(guard);
        assert!(claim(&BTreeSet::from([first])).unwrap().0 > first);
    }

    #[test]
    fn ports_stay_below_those_of_outgoing_connections() {
        let last = Number(u8::try_from(Number::COUNT).unwrap() - 1);
        assert!(last.port(Port::Guard) < 32_768);
        assert_eq!(Number(0).port(Port::Guard) + 1, Number(1).port(Port::EtcdClient));
    }

    #[test]
    fn a_bridge_name_fits_the_kernel() {
        assert!(Number(249).pod_bridge().len() <= 15);
    }
}
