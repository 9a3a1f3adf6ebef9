//! Which gateways are connected right now, and what they last reported. A link is held by the task of
//! its stream, so that it ends with the stream, however that ends.
//!
//! Reports live here and reach the store now and then: a fleet reports all the time, and a write per
//! report would keep the disk busy with what is out of date seconds later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gantry_domain::{EnvironmentName, GatewayId, GatewayProfile, TenantId};
use tokio_util::sync::CancellationToken;

type Key = (TenantId, EnvironmentName, GatewayId);

/// Every connected gateway.
#[derive(Debug, Clone, Default)]
pub struct Links(Arc<Mutex<HashMap<Key, Entry>>>);

#[derive(Debug)]
struct Entry {
    nonce: String,
    profile: GatewayProfile,
    report: Option<Vec<u8>>,
    replaced: CancellationToken,
}

/// One connected gateway, until it is dropped.
#[derive(Debug)]
pub struct Link {
    links: Links,
    key: Key,
    replaced: CancellationToken,
}

/// What is known of a gateway by its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// It has none.
    Absent,
    /// It has one.
    Connected {
        /// What it has reported on it, encoded as it came.
        report: Option<Vec<u8>>,
    },
}

/// Why a gateway may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRefused {
    /// Another process uses this id.
    InUse,
    /// The environment has as many connected gateways as it may have.
    TooMany,
}

impl Links {
    /// How many gateways are connected.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Connects a gateway. The same process may connect again while its earlier stream has not been
    /// noticed to be dead: that one is told to end.
    ///
    /// # Errors
    /// Another process is connected under this id, or there are `links_max` already.
    pub fn connect(
        &self,
        (tenant, environment, gateway): (&TenantId, &EnvironmentName, &GatewayId),
        nonce: &str,
        profile: GatewayProfile,
        links_max: usize,
    ) -> Result<Link, LinkRefused> {
        let key = (tenant.clone(), environment.clone(), gateway.clone());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&key) {
            Some(entry) if entry.nonce != nonce => return Err(LinkRefused::InUse),
            Some(entry) => entry.replaced.cancel(),
            None => {
                let in_environment = |(t, e, _): &&Key| t == tenant && e == environment;
                if all.keys().filter(in_environment).count() >= links_max {
                    return Err(LinkRefused::TooMany);
                }
            }
        }
        let replaced = CancellationToken::new();
        let entry = Entry {
            nonce: nonce.to_owned(),
            profile,
            report: None,
            replaced: replaced.clone(),
        };
        all.insert(key.clone(), entry);
        drop(all);
        Ok(Link {
            links: self.clone(),
            key,
            replaced,
        })
    }

    /// What is known of a gateway by its stream.
    pub fn link_of(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
        gateway: &GatewayId,
    ) -> LinkState {
        let key = (tenant.clone(), environment.clone(), gateway.clone());
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&key) {
            None => LinkState::Absent,
            Some(entry) => LinkState::Connected {
                report: entry.report.clone(),
            },
        }
    }

    /// The connected gateways of an environment, by id.
    pub fn connected(
        &self,
        tenant: &TenantId,
        environment: &EnvironmentName,
    ) -> Vec<(GatewayId, GatewayProfile)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connected: Vec<_> = all
            .iter()
            .filter(|((t, e, _), _)| t == tenant && e == environment)
            .map(|((_, _, gateway), entry)| (gateway.clone(), entry.profile.clone()))
            .collect();
        connected.sort_by(|(a, _), (b, _)| a.cmp(b));
        connected
    }
}

impl Link {
    /// Keeps what the gateway reports, encoded as it came.
    pub fn report(&self, report: Vec<u8>) {
        let mut all = self.links.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = all.get_mut(&self.key)
            && !self.replaced.is_cancelled()
        {
            entry.report = Some(report);
        }
    }

    /// Returns when the same process has connected anew.
    pub async fn replaced(&self) {
        self.replaced.cancelled().await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut all = self.links.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A replaced link's entry belongs to its successor. Links are replaced under the same lock.
        if !self.replaced.is_cancelled() {
            all.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> GatewayProfile {
        GatewayProfile {
            version: "v5.3.0".parse().unwrap(),
            platform: "linux_amd64".parse().unwrap(),
            libc: "2.36".parse().unwrap(),
            abi: "0.1".parse().unwrap(),
        }
    }

    #[test]
    fn id_belongs_to_one_process_until_its_link_is_dropped() {
        let links = Links::default();
        let (tenant, environment) = ("acme".parse().unwrap(), "staging".parse().unwrap());
        let gateway = "edge-1".parse().unwrap();
        let connect =
            |nonce: &str| links.connect((&tenant, &environment, &gateway), nonce, profile(), 1);
        let first = connect("a").unwrap();
        assert_eq!(connect("b").unwrap_err(), LinkRefused::InUse);
        let again = connect("a").unwrap();
        drop(first);
        assert_eq!(links.connected(&tenant, &environment).len(), 1);
        let other = "edge-2".parse().unwrap();
        let refused = links.connect((&tenant, &environment, &other), "x", profile(), 1);
        assert_eq!(refused.unwrap_err(), LinkRefused::TooMany);
        drop(again);
        assert!(connect("b").is_ok());
    }
}
