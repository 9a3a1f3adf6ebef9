//! `auth`: lets a request in if its `x-api-key` is one of `config_data.api_keys`.

use std::collections::HashMap;

use gantry_plugin::{Answer, Failure, Level, Outcome, RequestCall, RequestFunction};
use serde_json::{Value, json};

/// Header that carries the key.
const HEADER: &str = "x-api-key";

/// The keys of one API and who they belong to.
pub(crate) struct CheckApiKey {
    aliases: HashMap<String, String>,
}

impl RequestFunction for CheckApiKey {
    fn start(config: &str) -> Result<Self, String> {
        let config: Value =
            serde_json::from_str(config).map_err(|error| format!("config_data: {error}"))?;
        let keys = config["api_keys"]
            .as_object()
            .ok_or("config_data.api_keys is missing; expected an object of key and alias")?;
        let aliases = keys
            .iter()
            .map(|(key, alias)| match alias {
                Value::String(alias) => Ok((key.clone(), alias.clone())),
                _ => {
                    Err("config_data.api_keys: each key has an alias, which is a string".to_owned())
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { aliases })
    }

    fn call(&self, call: &mut RequestCall<'_>) -> Result<Outcome, Failure> {
        let Some(key) = call.header(HEADER) else {
            return Ok(refusal(401, "send a key in the header x-api-key"));
        };
        let Some(alias) = self.aliases.get(key) else {
            call.log(Level::Info, "refused an unknown key");
            return Ok(refusal(403, "this key is not known here"));
        };
        call.set_session(&json!({ "alias": alias }).to_string())?;
        // The upstream has no business with the key.
        call.remove_header(HEADER)?;
        crate::leave_trail(call)?;
        Ok(Outcome::Continue)
    }
}

fn refusal(status: u16, error: &str) -> Outcome {
    Outcome::Answer(Answer::json(
        status,
        format!("{}\n", json!({ "error": error })),
    ))
}

#[cfg(test)]
mod tests {
    use gantry_plugin::Hook;
    use gantry_plugin::testing::TestCall;

    use super::*;

    fn function() -> CheckApiKey {
        CheckApiKey::start(r#"{"api_keys":{"secret":"alice"},"other":1}"#).unwrap()
    }

    #[test]
    fn known_key_sets_a_session_and_does_not_reach_the_upstream() {
        let done = TestCall::new(Hook::Auth)
            .header(HEADER, "secret")
            .run(&function());
        assert!(done.continued());
        assert_eq!(done.session(), Some(r#"{"alias":"alice"}"#));
        assert_eq!(done.header(HEADER), None);
    }

    #[test]
    fn missing_key_is_401_and_unknown_key_403() {
        let missing = TestCall::new(Hook::Auth).run(&function());
        assert_eq!(missing.answer().map(|(status, _)| status), Some(401));
        let unknown = TestCall::new(Hook::Auth)
            .header(HEADER, "guess")
            .run(&function());
        assert_eq!(unknown.answer().map(|(status, _)| status), Some(403));
        assert_eq!(unknown.session(), None);
        assert!(
            unknown
                .log()
                .iter()
                .all(|(_, line)| !line.contains("guess"))
        );
    }

    #[test]
    fn configuration_without_keys_does_not_start() {
        let refusal = CheckApiKey::start("{}").err().unwrap();
        assert!(refusal.contains("config_data.api_keys"), "{refusal}");
        assert!(CheckApiKey::start(r#"{"api_keys":{"a":1}}"#).is_err());
    }
}
