//! Orders in the tests' words.

use gantry_gateway::protocol::{
    ApiOrder, ApiRuntime, EndpointFunction, EndpointOrder, FunctionOrder, Generation, Service,
};

use crate::library::{Stored, steps};

/// An API that is built up step by step. Its functions are numbered from 1 in order.
#[derive(Debug, Clone)]
pub(crate) struct TestApi {
    order: ApiOrder,
    runtime: ApiRuntime,
}

impl TestApi {
    /// Keyless, on any host, passing everything below the prefix to the target.
    pub(crate) fn new(api_id: &str, prefix: &str, target_url: &str) -> Self {
        let runtime = ApiRuntime {
            target_url: target_url.into(),
            strip_listen_path: false,
            keyless: true,
            plugin_auth: false,
            token_header: None,
            definition: format!(r#"{{"api_id":"{api_id}"}}"#),
            config: "{}".into(),
            functions: Vec::new(),
            endpoints: Vec::new(),
            openapi: None,
        };
        let refused = Service::Refuse {
            code: "UNFINISHED".into(),
            message: String::new(),
        };
        let order = ApiOrder {
            api_id: api_id.into(),
            domain: None,
            prefix: prefix.into(),
            service: refused,
        };
        Self { order, runtime }
    }

    pub(crate) fn domain(mut self, domain: &str) -> Self {
        self.order.domain = Some(domain.into());
        self
    }

    pub(crate) fn strip(mut self) -> Self {
        self.runtime.strip_listen_path = true;
        self
    }

    pub(crate) fn plugin_auth(mut self) -> Self {
        (self.runtime.keyless, self.runtime.plugin_auth) = (false, true);
        self
    }

    pub(crate) fn token(mut self) -> Self {
        self.runtime.keyless = false;
        self.runtime.token_header = Some("Authorization".into());
        self
    }

    pub(crate) fn config(mut self, config: &str) -> Self {
        self.runtime.config = config.into();
        self
    }

    /// A function of the tests' own plugin.
    pub(crate) fn function(self, hook: &str, function: &str) -> Self {
        self.function_of(&steps(), hook, function)
    }

    pub(crate) fn function_of(mut self, library: &Stored, hook: &str, function: &str) -> Self {
        let functions = &self.runtime.functions;
        let position = functions.iter().filter(|each| each.hook == hook).count();
        let order = self.function_order(library, (hook, position), function);
        self.runtime.functions.push(order);
        self
    }

    /// The latest function's time for a call, milliseconds.
    pub(crate) fn deadline(mut self, ms: u64) -> Self {
        if let Some(function) = self.runtime.functions.last_mut() {
            function.deadline_ms = Some(ms);
        }
        self
    }

    fn function_order(
        &self,
        library: &Stored,
        (hook, position): (&str, usize),
        function: &str,
    ) -> FunctionOrder {
        let number = self.runtime.functions.len() + self.runtime.endpoints.len() + 1;
        FunctionOrder {
            hook: hook.into(),
            endpoint: false,
            position,
            function: function.into(),
            digest: library.digest.clone(),
            library: library.path.clone(),
            may_block: false,
            deadline_ms: None,
            number: u32::try_from(number).unwrap(),
        }
    }

    /// A function of an endpoint.
    pub(crate) fn endpoint(mut self, method: &str, path: &str, function: &str) -> Self {
        let position = self.runtime.endpoints.len();
        let order = FunctionOrder {
            endpoint: true,
            ..self.function_order(&steps(), ("post", position), function)
        };
        self.push_endpoint(method, path, EndpointFunction::Run(order));
        self
    }

    /// An endpoint whose function the supervisor could not get.
    pub(crate) fn refused_endpoint(mut self, method: &str, path: &str) -> Self {
        let function = EndpointFunction::Refuse {
            code: "FILE_NOT_FOUND".into(),
            message: String::new(),
        };
        self.push_endpoint(method, path, function);
        self
    }

    fn push_endpoint(&mut self, method: &str, path: &str, function: EndpointFunction) {
        self.runtime.endpoints.push(EndpointOrder {
            method: method.into(),
            path: path.into(),
            function,
        });
    }

    pub(crate) fn order(mut self) -> ApiOrder {
        self.order.service = Service::Serve(Box::new(self.runtime));
        self.order
    }
}

/// A generation of exactly these APIs.
pub(crate) fn everything(revision: u64, apis: impl IntoIterator<Item = TestApi>) -> Generation {
    let apis: Vec<ApiOrder> = apis.into_iter().map(TestApi::order).collect();
    let numbers = apis.iter().map(|api| api.api_id.clone()).zip(1..).collect();
    Generation {
        revision,
        replace: true,
        apis,
        removed: Vec::new(),
        numbers,
    }
}

/// A generation that changes these APIs.
pub(crate) fn change(revision: u64, apis: impl IntoIterator<Item = TestApi>) -> Generation {
    Generation {
        replace: false,
        ..everything(revision, apis)
    }
}
