//! The guard in front of labels that name tenants: what anybody can create must not decide how many
//! series there are.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use gantry_domain::TenantId;

/// What stands in the label of a tenant that has none of its own. No tenant can be called so: ids
/// begin with a letter or a digit.
const OTHERS: &str = "_others";

/// Which tenants have labels: the first that something is counted for, since nothing else is known
/// of them here.
#[derive(Debug)]
pub(super) struct Tenants {
    labels_max: usize,
    named: Mutex<BTreeSet<TenantId>>,
}

impl Tenants {
    pub(super) fn new(labels_max: usize) -> Self {
        Self {
            labels_max,
            named: Mutex::default(),
        }
    }

    /// The label, if there shall be any.
    pub(super) fn label(&self, tenant: &TenantId) -> Option<(&'static str, String)> {
        if self.labels_max == 0 {
            return None;
        }
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let known = named.contains(tenant);
        let value = if known || named.len() < self.labels_max {
            if !known {
                named.insert(tenant.clone());
            }
            tenant.to_string()
        } else {
            OTHERS.to_owned()
        };
        Some(("tenant", value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_beyond_the_cap_share_one_label_and_none_has_any_by_default() {
        let tenant = |name: &str| name.parse::<TenantId>().unwrap();
        let label = |tenants: &Tenants, name| tenants.label(&tenant(name)).map(|(_, value)| value);
        assert_eq!(label(&Tenants::new(0), "acme"), None);
        let tenants = Tenants::new(1);
        for (name, expected) in [("acme", "acme"), ("globex", "_others"), ("acme", "acme")] {
            assert_eq!(label(&tenants, name).as_deref(), Some(expected));
        }
        assert!("_others".parse::<TenantId>().is_err());
    }
}
