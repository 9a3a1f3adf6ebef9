//! What the numbers in records and tables mean: APIs and functions, of all generations that a worker
//! may still be on.
//!
//! An API keeps its number for as long as the supervisor lives, so its counters go on when it is
//! changed. The first ones get the low numbers, which are counted on their own (see
//! [`crate::sys::counters::APIS_MAX`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;

use crate::protocol::{ApiOrder, Generation, Service};
use crate::supervisor::generation::{ArtifactLabel, Effective, EffectiveApi, functions};
use crate::supervisor::state::Identity;

/// APIs that have a number, at most; further ones have no name in access lines.
const APIS_MAX: usize = 262_144;
/// Functions that are known, at most; beyond them all are learned anew.
const FUNCTIONS_MAX: usize = 65_536;

/// An API as telemetry names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiName {
    /// Its identifier.
    pub id: Arc<str>,
    /// Its listen path, without a slash at its end.
    pub prefix: Arc<str>,
    /// Host and port of its upstream, where it has one.
    pub server: Option<(Arc<str>, u16)>,
}

/// A function as telemetry names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName {
    /// Its name.
    pub function: Arc<str>,
    /// The hook.
    pub hook: Arc<str>,
    /// The bundle, where it is known.
    pub bundle: Arc<str>,
    /// The bundle's version.
    pub version: Arc<str>,
}

/// All names at one moment.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// The tenant; empty before it is known.
    pub tenant: Arc<str>,
    /// The environment.
    pub environment: Arc<str>,
    pub(super) apis: Vec<ApiName>,
    pub(super) numbers: HashMap<Arc<str>, u32>,
    pub(super) functions: HashMap<u32, FunctionName>,
}

impl Names {
    /// The API of a number.
    pub fn api(&self, number: u32) -> Option<&ApiName> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.apis.get(place)
    }

    /// All APIs with their numbers, from 1.
    pub fn apis(&self) -> impl Iterator<Item = (u32, &ApiName)> {
        (1..).zip(&self.apis)
    }

    /// The function of a number.
    pub fn function(&self, number: u32) -> Option<&FunctionName> {
        self.functions.get(&number)
    }

    fn learn_api(&mut self, order: &ApiOrder) {
        if let Some(number) = self.numbers.get(order.api_id.as_str()) {
            let known = &mut self.apis[*number as usize - 1];
            if *known.prefix != *order.prefix {
                known.prefix = order.prefix.as_str().into();
            }
            let server = server_of(order);
            if known.server != server {
                known.server = server;
            }
            return;
        }
        let Ok(number) = u32::try_from(self.apis.len() + 1) else {
            return;
        };
        if self.apis.len() < APIS_MAX {
            let id: Arc<str> = order.api_id.as_str().into();
            let prefix = order.prefix.as_str().into();
            self.numbers.insert(id.clone(), number);
            let server = server_of(order);
            self.apis.push(ApiName { id, prefix, server });
        }
    }

    fn learn_functions(&mut self, api: &EffectiveApi) {
        for function in functions(&api.order) {
            if self.functions.contains_key(&function.number) {
                continue;
            }
            let of_library = |label: &&ArtifactLabel| label.digest == function.digest;
            let label = api.artifacts.iter().find(of_library);
            let text = |text: fn(&ArtifactLabel) -> &String| {
                label.map_or_else(Arc::default, |label| text(label).as_str().into())
            };
            let name = FunctionName {
                function: function.function.as_str().into(),
                hook: function.hook.as_str().into(),
                bundle: text(|label| &label.bundle),
                version: text(|label| &label.version),
            };
            self.functions.insert(function.number, name);
        }
    }
}

fn server_of(order: &ApiOrder) -> Option<(Arc<str>, u16)> {
    let Service::Serve(runtime) = &order.service else {
        return None;
    };
    let url = Url::parse(&runtime.target_url).ok()?;
    Some((url.host_str()?.into(), url.port_or_known_default()?))
}

/// The names, shared by all who need them. Reading takes them as they are; nobody holds the lock for
/// longer than that.
#[derive(Debug, Default)]
pub struct Directory(Mutex<Arc<Names>>);

impl Directory {
    /// The names at this moment.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Learns what a worker is about to be told, and puts the numbers of its APIs into it.
    pub fn enter(&self, identity: &Identity, effective: &Effective, generation: &mut Generation) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = Arc::make_mut(&mut names);
        if *names.tenant != *identity.tenant.as_str()
            || *names.environment != *identity.environment.as_str()
        {
            names.tenant = identity.tenant.as_str().into();
            names.environment = identity.environment.as_str().into();
        }
        if names.functions.len() > FUNCTIONS_MAX {
            names.functions.clear();
        }
        for api in effective.apis.values() {
            names.learn_api(&api.order);
            names.learn_functions(api);
        }
        for order in &generation.apis {
            if let Some(number) = names.numbers.get(order.api_id.as_str()) {
                generation.numbers.insert(order.api_id.clone(), *number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ApiRuntime, FunctionOrder};
    use gantry_telemetry::Secret;

    fn identity() -> Identity {
        Identity {
            tenant: "acme".parse().unwrap(),
            environment: "production".parse().unwrap(),
            key_pepper: Secret::new(Vec::new()),
        }
    }

    fn api(id: &str, prefix: &str, number: u32) -> (String, EffectiveApi) {
        let function = FunctionOrder {
            hook: "pre".into(),
            endpoint: false,
            position: 0,
            function: "Mark".into(),
            digest: "d1".into(),
            library: "/d1.so".into(),
            may_block: false,
            deadline_ms: None,
            number,
        };
        let runtime = ApiRuntime {
            target_url: "http://127.0.0.1:1".into(),
            strip_listen_path: false,
            keyless: true,
            plugin_auth: false,
            token_header: None,
            definition: "{}".into(),
            config: "{}".into(),
            functions: vec![function],
            endpoints: Vec::new(),
            openapi: None,
        };
        let order = ApiOrder {
            api_id: id.into(),
            domain: None,
            prefix: prefix.into(),
            service: Service::Serve(Box::new(runtime)),
        };
        let label = ArtifactLabel {
            digest: "d1".into(),
            bundle: "hooks".into(),
            version: "1.0.0".into(),
            file: "hooks.so".into(),
        };
        let api = EffectiveApi {
            order,
            artifacts: [label].into(),
            trouble: None,
        };
        (id.to_owned(), api)
    }

    fn enter(
        directory: &Directory,
        apis: impl IntoIterator<Item = (String, EffectiveApi)>,
    ) -> Generation {
        let effective = Effective {
            revision: 1,
            apis: apis.into_iter().collect(),
        };
        let mut generation = effective.difference(None, &std::collections::BTreeSet::new());
        directory.enter(&identity(), &effective, &mut generation);
        generation
    }

    #[test]
    fn api_keeps_its_number_and_every_worker_is_told_it() {
        let directory = Directory::default();
        let first = enter(&directory, [api("a", "/a", 1), api("b", "/b", 2)]);
        let second = enter(&directory, [api("b", "/moved", 3), api("c", "/c", 4)]);
        assert_eq!(first.numbers["b"], second.numbers["b"]);
        assert_eq!(second.numbers.len(), 2);
        let names = directory.names();
        assert_eq!(*names.api(first.numbers["a"]).unwrap().id, *"a");
        let moved = names.api(first.numbers["b"]).unwrap();
        assert_eq!(*moved.prefix, *"/moved");
        assert_eq!(moved.server, Some(("127.0.0.1".into(), 1)));
        assert_eq!(
            (&*names.tenant, &*names.environment),
            ("acme", "production")
        );
        assert_eq!(names.apis().count(), 3);
    }

    #[test]
    fn function_has_the_name_and_version_of_its_bundle() {
        let directory = Directory::default();
        enter(&directory, [api("a", "/a", 7)]);
        let names = directory.names();
        let function = names.function(7).unwrap();
        assert_eq!((&*function.function, &*function.hook), ("Mark", "pre"));
        assert_eq!((&*function.bundle, &*function.version), ("hooks", "1.0.0"));
    }

    #[test]
    fn forged_number_means_nothing() {
        let names = Directory::default().names();
        for number in [0, 1, u32::MAX] {
            assert_eq!(names.api(number), None);
            assert_eq!(names.function(number), None);
        }
    }
}
