//! Who is calling. A principal exists only where a token has been proved, and it is the only place
//! that a tenant is taken from.

use gantry_domain::{EnvironmentName, RightSet, TenantId, Timestamp, TokenId};

use crate::metadata::{Deed, TokenRow};

/// The holder of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Whose things the caller sees.
    pub tenant: TenantId,
    /// The token's public half.
    pub token: TokenId,
    /// What it allows.
    pub rights: RightSet,
    /// The environment of a gateway's token.
    pub environment: Option<EnvironmentName>,
}

impl Principal {
    /// The audit entry of something that the caller does.
    pub fn deed(&self, action: &'static str, subject: impl Into<String>, at: Timestamp) -> Deed {
        Deed {
            tenant: self.tenant.clone(),
            token: Some(self.token.clone()),
            action,
            subject: subject.into(),
            at,
        }
    }
}

impl From<TokenRow> for Principal {
    fn from(row: TokenRow) -> Self {
        Self {
            tenant: row.tenant,
            token: row.token,
            rights: row.rights,
            environment: row.environment,
        }
    }
}
