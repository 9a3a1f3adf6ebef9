//! From a revision to what requests run on: which instances must start, which are shared, which APIs
//! keep what they had.
//!
//! Instances are keyed by identity: API, hook, position, library, configuration and function. What has
//! the same key in two generations is one instance; only new keys start, and what no generation holds
//! stops. Libraries are opened once per digest and stay.
//!
//! Invariant: an API either runs all of its functions or none of its requests pass; for functions of
//! endpoints that is said of their requests only (see [`super::endpoints`]). If its new
//! functions cannot run, it keeps the previous ones under the previous definition (`held`), provided it
//! answers at the same address; else it refuses.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use gantry_domain::{ApiId, Digest, FunctionFlag, FunctionName, Hook, PathPattern};
use gantry_plugin_host::{ApiContext, Instance, Library, Serial, StartContext};
use http::HeaderName;

use super::api::{Api, Authentication, Function, Functions, Running, Service, Serving};
use super::endpoints::{Endpoint, Endpoints};
use super::library;
use super::loader::Job;
use super::reports::Reporter;
use super::router::Router;
use super::signals;
use super::upstream::{Target, Upstream, UpstreamSettings};
use crate::protocol::{
    self, ApiFailure, ApiOrder, ApiRuntime, EndpointFunction, FunctionOrder, Generation, Report,
};
use crate::sys::clock::monotonic_nanos;
use crate::sys::mapping::Mapping;
use crate::sys::preemption;
use crate::sys::slot::{Counter, Lane, SlotMemory, Timing};

/// The number of an API that the supervisor gave none: it counts with the others.
const UNKNOWN: u32 = u32::MAX;

/// What makes two uses of a function the same instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct InstanceKey {
    api: ApiId,
    hook: Hook,
    endpoint: bool,
    position: usize,
    library: Digest,
    config: Digest,
    function: FunctionName,
}

#[derive(Debug)]
struct Entry {
    api: Arc<Api>,
    /// Why it is not what the latest order says.
    failures: Vec<ApiFailure>,
}

/// Why an order cannot be carried out.
#[derive(Debug)]
struct Failure {
    digest: Option<String>,
    code: &'static str,
    message: String,
}

impl Failure {
    fn of_order(code: &'static str, message: &dyn ToString) -> Self {
        Self {
            digest: None,
            code,
            message: message.to_string(),
        }
    }

    fn told(self, api_id: &str, held: bool, endpoint: bool) -> ApiFailure {
        ApiFailure {
            api_id: api_id.to_owned(),
            held,
            endpoint,
            digest: self.digest,
            code: self.code.to_owned(),
            message: self.message,
        }
    }
}

/// Maps an `OpenAPI` document and holds it against the digest that its file is named by.
fn openapi(path: &Path) -> Result<Bytes, Failure> {
    let refuse = |message: String| Failure::of_order("OPENAPI_UNUSABLE", &message);
    let mapped = File::open(path).and_then(|file| Mapping::of(&file));
    let mapping = mapped.map_err(|e| refuse(format!("read {}: {e}", path.display())))?;
    let document = Bytes::from_owner(mapping);
    let found = Digest::of(&document).to_string();
    if path.file_name().and_then(|name| name.to_str()) != Some(&found) {
        return Err(refuse(format!("{} has digest {found}", path.display())));
    }
    Ok(document)
}

/// Everything that generations are made of. Owned by the loader's thread.
#[derive(Debug)]
pub struct Assembly {
    memory: &'static SlotMemory,
    lane: Option<Lane>,
    settings: UpstreamSettings,
    reporter: Reporter,
    jobs: Sender<Job>,
    entries: BTreeMap<String, Entry>,
    libraries: HashMap<Digest, Arc<Library>>,
    instances: HashMap<InstanceKey, Weak<Running>>,
    upstreams: HashMap<(String, u16, bool), Weak<Upstream>>,
}

impl Assembly {
    /// Nothing yet; to be made on the thread that uses it. `jobs` is where instances go to be stopped.
    pub fn new(
        memory: &'static SlotMemory,
        settings: UpstreamSettings,
        reporter: Reporter,
        jobs: Sender<Job>,
    ) -> Self {
        Self {
            memory,
            lane: memory.take_lane(),
            settings,
            reporter,
            jobs,
            entries: BTreeMap::new(),
            libraries: HashMap::new(),
            instances: HashMap::new(),
            upstreams: HashMap::new(),
        }
    }

    /// Brings everything to a generation; gives its table, and the APIs that are not as it says.
    pub fn apply(&mut self, generation: Generation) -> (Router<Arc<Api>>, Vec<ApiFailure>) {
        let mut next = if generation.replace {
            BTreeMap::new()
        } else {
            self.entries
                .iter()
                .map(|(id, entry)| (id.clone(), entry.share()))
                .collect()
        };
        for order in generation.apis {
            let id = order.api_id.clone();
            let number = generation.numbers.get(&id).copied();
            next.insert(id, self.bring(order, number.unwrap_or(UNKNOWN)));
        }
        for id in generation.removed {
            next.remove(&id);
        }
        // What was started for the new generation is in place; only now may the previous one go.
        self.entries = next;
        self.instances
            .retain(|_, instance| instance.strong_count() > 0);
        self.upstreams
            .retain(|_, upstream| upstream.strong_count() > 0);
        let failures = self
            .entries
            .values()
            .flat_map(|entry| entry.failures.clone())
            .collect();
        (self.router(), failures)
    }

    /// Stops an instance that nobody uses.
    pub fn stop(&self, instance: Instance) {
        drop(instance);
    }

    /// Lets go of everything but the libraries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn router(&self) -> Router<Arc<Api>> {
        let mut router = Router::default();
        for (id, entry) in &self.entries {
            let api = Arc::clone(&entry.api);
            let taken = router.insert(entry.api.domain.as_deref(), &entry.api.prefix, api);
            if taken.is_some() {
                let text =
                    format!("API {id} answers at the address of another; the other is hidden");
                self.reporter.note("error", "ROUTE_DOUBLED", text);
            }
        }
        router
    }

    fn bring(&mut self, order: ApiOrder, number: u32) -> Entry {
        let (domain, prefix) = (order.domain, order.prefix);
        let runtime = match order.service {
            protocol::Service::Serve(runtime) => runtime,
            protocol::Service::Refuse { .. } => {
                let api = Arc::new(Api {
                    number,
                    domain,
                    prefix,
                    service: Service::Refuse,
                });
                return Entry {
                    api,
                    failures: Vec::new(),
                };
            }
        };
        match self.serve(&order.api_id, &prefix, *runtime) {
            Ok((serving, failures)) => {
                let service = Service::Serve(Box::new(serving));
                Entry {
                    api: Arc::new(Api {
                        number,
                        domain,
                        prefix,
                        service,
                    }),
                    failures,
                }
            }
            Err(failure) => {
                let refusing = Api {
                    number,
                    domain,
                    prefix,
                    service: Service::Refuse,
                };
                self.fall_back(&order.api_id, refusing, failure)
            }
        }
    }

    /// What an API does whose order cannot be carried out.
    fn fall_back(&self, api_id: &str, refusing: Api, failure: Failure) -> Entry {
        let previous = self
            .entries
            .get(api_id)
            .map(|entry| &entry.api)
            .filter(|api| {
                // Held at another address, it would leave the new one to APIs with shorter paths.
                matches!(api.service, Service::Serve(_))
                    && api.domain == refusing.domain
                    && api.prefix == refusing.prefix
            });
        let held = previous.is_some();
        let api = previous.map_or_else(|| Arc::new(refusing), Arc::clone);
        Entry {
            api,
            failures: vec![failure.told(api_id, held, false)],
        }
    }

    /// How an API is served, and which functions of its endpoints do not run.
    fn serve(
        &mut self,
        api_id: &str,
        listen_path: &str,
        runtime: ApiRuntime,
    ) -> Result<(Serving, Vec<ApiFailure>), Failure> {
        let invalid = |error: &dyn ToString| Failure::of_order("ORDER_INVALID", error);
        let api_id: ApiId = api_id.parse().map_err(|error| invalid(&error))?;
        let target = Target::parse(&runtime.target_url)
            .map_err(|error| Failure::of_order(error.code(), &error))?;
        let authentication = authentication(&runtime)?;
        let config = Digest::of(&runtime.config);
        let mut functions = Functions::default();
        for order in &runtime.functions {
            let key = key(&api_id, config, order)?;
            functions.push(Arc::new(self.function(key, order, &runtime.config)?));
        }
        check_hooks(&authentication, &functions)?;
        let (mut endpoints, mut failures) = (Vec::new(), Vec::new());
        for order in &runtime.endpoints {
            let path: PathPattern = order.path.parse().map_err(|error| invalid(&error))?;
            let function = match &order.function {
                EndpointFunction::Refuse { .. } => None,
                EndpointFunction::Run(order) => {
                    let key = key(&api_id, config, order)?;
                    let started = self.function(key, order, &runtime.config);
                    let failed = |failure: Failure| {
                        failures.push(failure.told(api_id.as_str(), false, true));
                    };
                    started.map_err(failed).ok().map(Arc::new)
                }
            };
            endpoints.push(Endpoint {
                method: order.method.clone(),
                path: path.compile().map_err(|error| invalid(&error))?,
                function,
            });
        }
        functions.endpoints = Endpoints::new(listen_path, endpoints);
        let context = ApiContext {
            api_id,
            definition: Bytes::from(runtime.definition),
            config: Bytes::from(runtime.config),
            openapi: runtime.openapi.as_deref().map(openapi).transpose()?,
            serial: Serial::default(),
        };
        let serving = Serving {
            context: Arc::new(context),
            upstream: self.upstream(&target)?,
            target,
            strip_listen_path: runtime.strip_listen_path,
            authentication,
            functions,
        };
        Ok((serving, failures))
    }

    fn upstream(&mut self, target: &Target) -> Result<Arc<Upstream>, Failure> {
        let place = self
            .upstreams
            .entry((target.host.clone(), target.port, target.tls))
            .or_default();
        if let Some(upstream) = place.upgrade() {
            return Ok(upstream);
        }
        let upstream = Upstream::new(target, self.settings.clone(), self.memory)
            .map_err(|error| Failure::of_order(error.code(), &error))?;
        let upstream = Arc::new(upstream);
        *place = Arc::downgrade(&upstream);
        Ok(upstream)
    }

    /// The function of an order: an instance that runs already, or a new one.
    fn function(
        &mut self,
        key: InstanceKey,
        order: &FunctionOrder,
        config: &str,
    ) -> Result<Function, Failure> {
        let running = self.instances.get(&key).and_then(Weak::upgrade);
        let instance = match running {
            Some(running) => running,
            None => self.start(key, order, config)?,
        };
        let flagged = instance
            .get()
            .function()
            .flags
            .contains(&FunctionFlag::MayBlock);
        Ok(Function {
            number: order.number,
            may_block: order.may_block || flagged,
            deadline: order.deadline_ms.map(Duration::from_millis),
            instance,
        })
    }

    /// What a library did to signals while it was opened or started is undone and said.
    fn guard_signals(&self, digest: &str) {
        let library: String = digest.chars().take(12).collect();
        signals::restore(&self.reporter, &format!("library {library}"));
    }

    fn start(
        &mut self,
        key: InstanceKey,
        order: &FunctionOrder,
        config: &str,
    ) -> Result<Arc<Running>, Failure> {
        let failure = |code, message| Failure {
            digest: Some(order.digest.clone()),
            code,
            message,
        };
        // If the library takes the process down, the supervisor finds it named.
        let in_load = self.memory.load(order.number);
        let _in_function = self.lane.as_ref().map(|lane| lane.enter(order.number));
        let begun = monotonic_nanos();
        let library = if let Some(library) = self.libraries.get(&key.library) {
            Arc::clone(library)
        } else {
            let runtimes = preemption::runtimes();
            let opened = library::open(&order.library, &key.library);
            let counter = match &opened {
                Ok(_) => Counter::LibrariesLoaded,
                Err(_) => Counter::LibraryLoadFailures,
            };
            self.memory.add(counter, 1);
            self.memory
                .observe(Timing::Load, monotonic_nanos().saturating_sub(begun));
            self.guard_signals(&order.digest);
            let library = opened.map_err(|error| failure(error.code(), error.to_string()))?;
            let code = library::code_ranges(&order.library);
            let digest = order.digest.clone();
            let go = preemption::runtimes() > runtimes;
            self.reporter
                .send_blocking(Report::LibraryLoaded { digest, code, go });
            self.libraries.insert(key.library, Arc::clone(&library));
            library
        };
        in_load.starts();
        let context = StartContext {
            function: &key.function,
            api_id: &key.api,
            hook: key.hook,
            config,
        };
        let instance = library
            .start(&context)
            .map_err(|error| failure(error.code(), error.to_string()))?;
        self.guard_signals(&order.digest);
        let running = Arc::new(Running::new(instance, self.jobs.clone()));
        self.instances.insert(key, Arc::downgrade(&running));
        Ok(running)
    }
}

impl Entry {
    fn share(&self) -> Self {
        Self {
            api: Arc::clone(&self.api),
            failures: self.failures.clone(),
        }
    }
}

fn key(api: &ApiId, config: Digest, order: &FunctionOrder) -> Result<InstanceKey, Failure> {
    let invalid = |error: &dyn ToString| Failure::of_order("ORDER_INVALID", error);
    Ok(InstanceKey {
        api: api.clone(),
        hook: order.hook.parse().map_err(|error| invalid(&error))?,
        endpoint: order.endpoint,
        position: order.position,
        library: order.digest.parse().map_err(|error| invalid(&error))?,
        config,
        function: order.function.parse().map_err(|error| invalid(&error))?,
    })
}

fn authentication(runtime: &ApiRuntime) -> Result<Authentication, Failure> {
    let (plugin, token) = (runtime.plugin_auth, runtime.token_header.as_ref());
    match (runtime.keyless, plugin, token) {
        (true, false, None) => Ok(Authentication::Keyless),
        (true, ..) => Err(Failure::of_order(
            "ORDER_INVALID",
            &"keyless, and yet authenticated",
        )),
        (false, false, None) => Err(Failure::of_order(
            "ORDER_INVALID",
            &"not keyless, and nothing authenticates",
        )),
        (false, plugin, token) => {
            let token_header = token
                .map(|name| HeaderName::from_bytes(name.as_bytes()))
                .transpose()
                .map_err(|error| Failure::of_order("ORDER_INVALID", &error))?;
            Ok(Authentication::Required {
                plugin,
                token_header,
            })
        }
    }
}

/// Functions at hooks that the authentication leaves out would be skipped in silence.
fn check_hooks(authentication: &Authentication, functions: &Functions) -> Result<(), Failure> {
    let skipped: &[Hook] = match authentication {
        Authentication::Keyless => &[Hook::Auth, Hook::PostAuth],
        Authentication::Required { plugin: false, .. } => &[Hook::Auth],
        Authentication::Required { plugin: true, .. } => &[],
    };
    match skipped.iter().find(|hook| !functions.at(**hook).is_empty()) {
        None => Ok(()),
        Some(hook) => {
            let text = format!("a function is at {hook}, which the authentication leaves out");
            Err(Failure::of_order("HOOK_CONTRADICTION", &text))
        }
    }
}
