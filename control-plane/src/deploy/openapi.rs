//! `OpenAPI` documents of API definitions: kept before the definition that names them.

use gantry_domain::{ApiDefinition, Digest, FieldError, OpenApi};

use super::{DeployError, Deployments};
use crate::metadata::OpenApiKept;
use crate::principal::Principal;
use crate::refusal::violations;

impl Deployments {
    /// Keeps a document, so that definitions can name it. Gives its digest.
    ///
    /// # Errors
    /// It is none, or exceeds a limit.
    pub async fn put_openapi(
        &self,
        who: &Principal,
        document: &[u8],
    ) -> Result<OpenApi, DeployError> {
        let parsed = OpenApi::parse(document, &self.limits);
        let openapi = parsed.map_err(|errors| DeployError::Refused(violations(errors)))?;
        self.keep(who, &openapi).await?;
        Ok(openapi)
    }

    /// Keeps the document that a definition holds, and drops it from the definition. One that it names
    /// must be here. Nothing is kept when the definition is only checked.
    pub(super) async fn settle_openapi(
        &self,
        who: &Principal,
        definition: &mut ApiDefinition,
        validate_only: bool,
    ) -> Result<(), DeployError> {
        let Some(openapi) = &mut definition.openapi else {
            return Ok(());
        };
        if openapi.document.is_some() {
            if !validate_only {
                self.keep(who, openapi).await?;
            }
            openapi.document = None;
            return Ok(());
        }
        let (tenant, digest) = (&who.tenant, &openapi.digest);
        let is_here = if validate_only {
            self.metadata.has_openapi(tenant, digest).await?
        } else {
            let now = self.clock.now();
            self.metadata.use_openapi(tenant, digest, now).await?
        };
        if is_here {
            Ok(())
        } else {
            Err(unknown(digest))
        }
    }

    async fn keep(&self, who: &Principal, openapi: &OpenApi) -> Result<(), DeployError> {
        let Some(document) = &openapi.document else {
            return Ok(());
        };
        let (digest, now) = (&openapi.digest, self.clock.now());
        let deed = who.deed("openapi.put", digest.to_string(), now);
        let documents_max = self.limits.openapi_documents_max;
        let kept = self
            .metadata
            .keep_openapi(digest, document, documents_max, &deed);
        match kept.await? {
            OpenApiKept::Kept => Ok(()),
            OpenApiKept::TooMany => Err(DeployError::TooManyOpenApi(documents_max)),
        }
    }
}

/// A definition names a document that is not here.
pub(super) fn unknown(digest: &Digest) -> DeployError {
    DeployError::Refused(violations(vec![FieldError {
        path: "openapi".into(),
        code: "OPENAPI_UNKNOWN",
        expected: "a document, or the digest of one that was stored before".into(),
        found: digest.to_string(),
    }]))
}
