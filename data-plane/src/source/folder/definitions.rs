//! One API definition. Whether it is legal with what its bundle hooks, and whether its functions can be
//! found, is the plan's business, as with every other source.

use std::path::Path;
use std::sync::Arc;

use gantry_domain::{ApiDefinition, ApiId, FieldError, FieldWarning, Limits};

use super::look::APIS;
use super::{Refused, whole};

/// A definition that was read.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    /// What it says.
    pub(super) read: ApiDefinition,
    /// Its canonical text.
    pub(super) text: Arc<[u8]>,
    /// What its author should know.
    pub(super) warnings: Vec<FieldWarning>,
}

/// A definition that is refused.
#[derive(Debug, Clone)]
pub(super) struct BadDefinition {
    /// Whose it is, by the file's name.
    pub(super) id: Option<ApiId>,
    /// The file, unless it is too large: with it the API's requests can be refused where they arrive.
    pub(super) raw: Option<Arc<[u8]>>,
    /// Why.
    pub(super) refused: Refused,
}

/// Reads a definition.
pub(super) fn read(root: &Path, name: &str) -> Result<Definition, BadDefinition> {
    let limits = Limits::default();
    let id: Option<ApiId> = name
        .strip_suffix(".json")
        .and_then(|stem| stem.parse().ok());
    let bad = |raw: Option<&[u8]>, refused| BadDefinition {
        id: id.clone(),
        raw: raw.map(Into::into),
        refused,
    };
    let path = root.join(APIS).join(name);
    let bytes_max = limits.definition_bytes_max + limits.openapi_bytes_max;
    let bytes = match whole::read(&path, bytes_max as u64) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            return Err(bad(
                None,
                Refused::unreadable(&std::io::ErrorKind::NotFound.into()),
            ));
        }
        Err(e) => return Err(bad(None, Refused::unreadable(&e))),
    };
    let (definition, warnings) = ApiDefinition::parse(&bytes, &limits).map_err(|errors| {
        bad(
            Some(&bytes),
            Refused::new("DEFINITION_REFUSED", join(&errors)),
        )
    })?;
    if id.as_ref() != Some(&definition.api_id) {
        let message = format!(
            "expected {APIS}/{}.json, because its api_id is {}",
            definition.api_id, definition.api_id
        );
        return Err(bad(Some(&bytes), Refused::new("FILE_NAME", message)));
    }
    if definition
        .openapi
        .as_ref()
        .is_some_and(|openapi| openapi.document.is_none())
    {
        let message =
            "openapi: expected the document, found its digest, which a folder knows nothing of";
        return Err(bad(
            Some(&bytes),
            Refused::new("OPENAPI_UNKNOWN", message.to_owned()),
        ));
    }
    let text = definition.canonical().into_bytes().into();
    Ok(Definition {
        read: definition,
        text,
        warnings,
    })
}

/// Mistakes in one line.
pub(super) fn join(errors: &[FieldError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}
