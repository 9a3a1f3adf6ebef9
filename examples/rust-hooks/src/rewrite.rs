//! `post`: rewrites the path by `config_data.rewrite`, and adds `via=gantry` to the query.

use gantry_plugin::{Failure, Outcome, RequestCall, RequestFunction};
use serde_json::Value;

/// What to replace in the path, if anything.
pub(crate) struct RewritePath {
    rewrite: Option<(String, String)>,
}

impl RequestFunction for RewritePath {
    fn start(config: &str) -> Result<Self, String> {
        let config: Value =
            serde_json::from_str(config).map_err(|error| format!("config_data: {error}"))?;
        let rewrite = match (&config["rewrite"]["from"], &config["rewrite"]["to"]) {
            (Value::Null, Value::Null) => None,
            (Value::String(from), Value::String(to))
                if from.starts_with('/') && to.starts_with('/') =>
            {
                Some((from.clone(), to.clone()))
            }
            _ => return Err("config_data.rewrite: expected \"from\" and \"to\", two paths".into()),
        };
        Ok(Self { rewrite })
    }

    fn call(&self, call: &mut RequestCall<'_>) -> Result<Outcome, Failure> {
        if let Some((from, to)) = &self.rewrite {
            // The listen path is still in front here, and the gateway strips it afterwards.
            let path = call.path().replacen(from, to, 1);
            call.set_path(&path)?;
        }
        let query = match call.query() {
            Some(query) if !query.is_empty() => format!("{query}&via=gantry"),
            _ => "via=gantry".to_owned(),
        };
        call.set_query(&query)?;
        crate::leave_trail(call)?;
        Ok(Outcome::Continue)
    }
}

#[cfg(test)]
mod tests {
    use gantry_plugin::Hook;
    use gantry_plugin::testing::TestCall;

    use super::*;

    #[test]
    fn configured_part_of_the_path_is_replaced_and_the_query_extended() {
        let function = RewritePath::start(r#"{"rewrite":{"from":"/old","to":"/new"}}"#).unwrap();
        let done = TestCall::new(Hook::Post)
            .path("/demo/old/7")
            .query("a=1")
            .run(&function);
        assert_eq!(done.path(), "/demo/new/7");
        assert_eq!(done.query(), Some("a=1&via=gantry"));
    }

    #[test]
    fn without_configuration_only_the_query_changes() {
        let done = TestCall::new(Hook::Post)
            .path("/demo")
            .run(&RewritePath::start("{}").unwrap());
        assert_eq!((done.path(), done.query()), ("/demo", Some("via=gantry")));
        assert!(RewritePath::start(r#"{"rewrite":{"from":"/a"}}"#).is_err());
    }
}
