//! Tenants, environments and tokens: who there is and what they may do.
//!
//! Responsible for making and ending them. Invariants: a tenant is created by the operators' tenant
//! alone (the access table says so, before this is reached); a token's secret is given out once; a
//! token that people hold can never pose as a gateway, which is where consumer keys can be read.

use std::sync::Arc;

use gantry_domain::resolution::Lookup;
use gantry_domain::{
    Clock, EnvironmentName, FieldError, Limits, Right, RightSet, TenantId, TokenId,
};
use thiserror::Error;

use crate::access_token::AccessToken;
use crate::keys::check_description;
use crate::metadata::{
    Deed, EnvironmentCreated, EnvironmentRow, Metadata, MetadataError, TenantRow, TokenRow,
};
use crate::principal::Principal;
use crate::random;
use crate::refusal::{Kind, Refuse, Violation};
use crate::signals::Revocations;

/// Manages tenants, environments and tokens. Clones share everything.
#[derive(Clone)]
pub struct Admin {
    metadata: Metadata,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
    revocations: Revocations,
}

/// Why something was not made, found or ended.
#[derive(Debug, Error)]
pub enum AdminError {
    /// Change the field.
    #[error("the request is refused: {}", .0[0])]
    Refused([Violation; 1]),
    /// Choose another name.
    #[error("tenant {0} exists already")]
    TenantExists(TenantId),
    /// Choose another name.
    #[error("environment {0} exists already")]
    EnvironmentExists(EnvironmentName),
    /// Name an environment of the tenant.
    #[error("environment {0} does not exist")]
    NoEnvironment(EnvironmentName),
    /// Name a token of the tenant.
    #[error("token {0} does not exist")]
    NoToken(TokenId),
    /// Use those that exist.
    #[error("the tenant has {0} environments; that is as many as it may have")]
    TooManyEnvironments(usize),
    /// Revoke some first.
    #[error("the tenant has {0} valid tokens; that is as many as it may have")]
    TooManyTokens(usize),
    /// Use the admin token that exists, or say that another one is wanted.
    #[error("the operators' tenant has a valid admin token already")]
    Bootstrapped,
    /// See the store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

impl Refuse for AdminError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) => Kind::Invalid,
            Self::TenantExists(_) | Self::EnvironmentExists(_) | Self::Bootstrapped => Kind::Exists,
            Self::NoEnvironment(_) | Self::NoToken(_) => Kind::NotFound,
            Self::TooManyEnvironments(_) | Self::TooManyTokens(_) => Kind::Exhausted,
            Self::Metadata(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused([violation]) => violation.code,
            Self::TenantExists(_) => "TENANT_EXISTS",
            Self::EnvironmentExists(_) => "ENVIRONMENT_EXISTS",
            Self::NoEnvironment(_) => "ENVIRONMENT_NOT_FOUND",
            Self::NoToken(_) => "TOKEN_NOT_FOUND",
            Self::TooManyEnvironments(_) => "ENVIRONMENTS_TOO_MANY",
            Self::TooManyTokens(_) => "TOKENS_TOO_MANY",
            Self::Bootstrapped => "BOOTSTRAPPED",
            Self::Metadata(error) => error.code(),
        }
    }

    fn violations(&self) -> &[Violation] {
        match self {
            Self::Refused(violations) => violations,
            _ => &[],
        }
    }
}

impl Admin {
    /// Manages a store.
    pub fn new(
        metadata: Metadata,
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
        revocations: Revocations,
    ) -> Self {
        Self {
            metadata,
            clock,
            limits,
            revocations,
        }
    }

    /// Creates a tenant with its first admin token.
    ///
    /// # Errors
    /// The name is taken.
    pub async fn create_tenant(
        &self,
        who: &Principal,
        tenant: TenantId,
    ) -> Result<(TenantRow, AccessToken), AdminError> {
        let now = self.clock.now();
        let rights = RightSet::default().with(Right::Admin);
        let (row, token) = self.token_row(tenant.clone(), rights, None, "first token".to_owned());
        let deed = who.deed("tenant.create", tenant.as_str(), now);
        if !self.metadata.create_tenant(&row, &deed).await? {
            return Err(AdminError::TenantExists(tenant));
        }
        let created_at = now;
        Ok((TenantRow { tenant, created_at }, token))
    }

    /// Tenants in the order of their names.
    ///
    /// # Errors
    /// The store fails.
    pub async fn tenants(
        &self,
        after: Option<&TenantId>,
        entries_max: usize,
    ) -> Result<Vec<TenantRow>, AdminError> {
        Ok(self.metadata.tenants(after, entries_max).await?)
    }

    /// Creates an environment, empty at revision 0.
    ///
    /// # Errors
    /// The name is taken, or there are too many.
    pub async fn create_environment(
        &self,
        who: &Principal,
        environment: EnvironmentName,
        lookup: Lookup,
    ) -> Result<EnvironmentRow, AdminError> {
        let row = EnvironmentRow {
            environment,
            lookup,
            head: 0,
            keys_epoch: 1,
            keys_pruned: 0,
            key_pepper: random::bytes(),
            created_at: self.clock.now(),
        };
        let deed = who.deed(
            "environment.create",
            row.environment.as_str(),
            row.created_at,
        );
        let environments_max = self.limits.environments_max;
        let created = self
            .metadata
            .create_environment(&row, environments_max, &deed);
        match created.await? {
            EnvironmentCreated::Now => Ok(row),
            EnvironmentCreated::Before => Err(AdminError::EnvironmentExists(row.environment)),
            EnvironmentCreated::TooMany => Err(AdminError::TooManyEnvironments(environments_max)),
        }
    }

    /// Every environment of the caller's tenant.
    ///
    /// # Errors
    /// The store fails.
    pub async fn environments(&self, who: &Principal) -> Result<Vec<EnvironmentRow>, AdminError> {
        Ok(self.metadata.environments(&who.tenant).await?)
    }

    /// Creates a token of the caller's tenant.
    ///
    /// # Errors
    /// Rights that do not go together, a missing environment, or too many tokens.
    pub async fn create_token(
        &self,
        who: &Principal,
        rights: RightSet,
        environment: Option<EnvironmentName>,
        description: String,
    ) -> Result<(TokenRow, AccessToken), AdminError> {
        check_rights(rights, environment.as_ref())?;
        check_description(&description).map_err(refused)?;
        if let Some(environment) = &environment {
            let row = self.metadata.environment(&who.tenant, environment).await?;
            row.ok_or_else(|| AdminError::NoEnvironment(environment.clone()))?;
        }
        let (row, token) = self.token_row(who.tenant.clone(), rights, environment, description);
        let deed = who.deed("token.create", row.token.as_str(), row.created_at);
        let tokens_max = self.limits.tokens_max;
        let created = self.metadata.create_token(&row, tokens_max, &deed);
        if !created.await? {
            return Err(AdminError::TooManyTokens(tokens_max));
        }
        Ok((row, token))
    }

    /// The caller's own token.
    ///
    /// # Errors
    /// It has gone in the meantime.
    pub async fn own_token(&self, who: &Principal) -> Result<TokenRow, AdminError> {
        let row = self.metadata.token(&who.token).await?;
        row.ok_or_else(|| AdminError::NoToken(who.token.clone()))
    }

    /// Tokens of the caller's tenant in the order of their ids.
    ///
    /// # Errors
    /// The store fails.
    pub async fn tokens(
        &self,
        who: &Principal,
        after: Option<&TokenId>,
        entries_max: usize,
    ) -> Result<Vec<TokenRow>, AdminError> {
        Ok(self
            .metadata
            .tokens(&who.tenant, after, entries_max)
            .await?)
    }

    /// Ends a token and every call that is running with it.
    ///
    /// # Errors
    /// The tenant has no such token.
    pub async fn revoke_token(
        &self,
        who: &Principal,
        token: &TokenId,
    ) -> Result<TokenRow, AdminError> {
        let deed = who.deed("token.revoke", token.as_str(), self.clock.now());
        let row = self.metadata.revoke_token(token, &deed).await?;
        let row = row.ok_or_else(|| AdminError::NoToken(token.clone()))?;
        self.revocations.announce(token);
        Ok(row)
    }

    fn token_row(
        &self,
        tenant: TenantId,
        rights: RightSet,
        environment: Option<EnvironmentName>,
        description: String,
    ) -> (TokenRow, AccessToken) {
        let token = AccessToken::generate();
        let row = TokenRow {
            tenant,
            token: token.id().clone(),
            secret_sha256: token.secret_digest(),
            rights,
            environment,
            description,
            created_at: self.clock.now(),
            revoked_at: None,
        };
        (row, token)
    }
}

/// Creates the operators' tenant and an admin token of it, from the command line of the machine that
/// holds the store: whoever can run this can read the store anyway.
///
/// # Errors
/// A valid admin token exists, unless `again`.
pub async fn bootstrap(
    metadata: &Metadata,
    clock: &dyn Clock,
    again: bool,
) -> Result<AccessToken, AdminError> {
    let token = AccessToken::generate();
    let row = TokenRow {
        tenant: TenantId::operator(),
        token: token.id().clone(),
        secret_sha256: token.secret_digest(),
        rights: RightSet::default().with(Right::Admin),
        environment: None,
        description: "bootstrap".to_owned(),
        created_at: clock.now(),
        revoked_at: None,
    };
    let deed = Deed {
        tenant: row.tenant.clone(),
        token: None,
        action: "token.bootstrap",
        subject: row.token.to_string(),
        at: row.created_at,
    };
    if !metadata.bootstrap(&row, again, &deed).await? {
        return Err(AdminError::Bootstrapped);
    }
    Ok(token)
}

fn check_rights(rights: RightSet, environment: Option<&EnvironmentName>) -> Result<(), AdminError> {
    let gateway = rights.contains(Right::Gateway);
    let (path, expected, found) = match (gateway, environment) {
        _ if rights.is_empty() => ("rights", "at least one right", "none".to_owned()),
        (true, _) if rights.iter().count() > 1 => (
            "rights",
            "gateway alone: what people hold must not pose as a gateway",
            rights.to_string(),
        ),
        (true, None) => (
            "environment",
            "the gateway's environment",
            "nothing".to_owned(),
        ),
        (false, Some(environment)) => (
            "environment",
            "nothing, since only a gateway's token belongs to an environment",
            environment.to_string(),
        ),
        _ => return Ok(()),
    };
    Err(refused(FieldError {
        path: path.into(),
        code: "FIELD_INVALID",
        expected: expected.into(),
        found,
    }))
}

fn refused(error: FieldError) -> AdminError {
    AdminError::Refused([error.into()])
}
