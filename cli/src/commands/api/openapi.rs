//! Large `OpenAPI` documents, which do not go into one message with their definition: they are stored
//! first, and the definition names them.

use gantry_client::Repeat;
use gantry_proto::v1;
use serde_json::Value;
use tokio_stream::iter;

use crate::context::{Context, refused};
use crate::error::CliError;

/// Bytes of a definition that goes as it is.
const WHOLE_BYTES_MAX: usize = 768 << 10;
/// Bytes of a document in one message.
const PART_BYTES: usize = 512 << 10;

/// The definition as it is sent: as it was written, or with the digest of its document, which was stored
/// first. What is wrong with either is the control plane's to say.
pub(super) async fn apart(definition: &str, context: &Context) -> Result<String, CliError> {
    if definition.len() <= WHOLE_BYTES_MAX {
        return Ok(definition.to_owned());
    }
    let Ok(mut written) = serde_json::from_str::<Value>(definition) else {
        return Ok(definition.to_owned());
    };
    let Some(document) = written.get("openapi").filter(|found| found.is_object()) else {
        return Ok(definition.to_owned());
    };
    let document = document.to_string();
    let parts = document.as_bytes().chunks(PART_BYTES);
    let parts: Vec<_> = parts
        .map(|part| v1::PutOpenApiRequest {
            part: part.to_vec(),
        })
        .collect();
    let answer = context
        .client()?
        .call(Repeat::Safe, parts, |client, parts| async move {
            let parts = iter(parts.into_inner());
            client.apis().put_open_api(parts).await
        })
        .await
        .map_err(refused)?;
    written["openapi"] = Value::String(answer.digest);
    Ok(written.to_string())
}
