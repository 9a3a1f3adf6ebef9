//! The descriptor set of `gantry.v1` and what its method options say: who may call what.

use std::collections::BTreeMap;

use gantry_domain::Right;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

use crate::v1;

/// The encoded `FileDescriptorSet`, with imports and comments.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Who may call a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Any of these rights suffices; empty means that every valid token may.
    pub any_of: Vec<Right>,
    /// Only tokens of the operators' tenant.
    pub operator: bool,
}

/// The descriptors as a pool that can be asked.
#[expect(
    clippy::missing_panics_doc,
    reason = "it decodes what our own build encoded"
)]
pub fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptor set was encoded by our own build")
}

/// Who may call which method, by path (`/gantry.v1.AdminService/WhoAmI`). A method whose option is
/// missing is not in the table, so that nobody may call it.
pub fn access_table() -> BTreeMap<String, Access> {
    let pool = pool();
    let methods = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .filter_map(|method| access(&pool, &method).map(|access| (path(&method), access)))
        .collect()
}

/// The path that a method has in an HTTP/2 request.
pub fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn access(pool: &DescriptorPool, method: &MethodDescriptor) -> Option<Access> {
    let extension = pool.get_extension_by_name("gantry.v1.access")?;
    let options = method.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let option = options.get_extension(&extension).into_owned();
    let Value::Message(access) = option else {
        return None;
    };
    Some(Access {
        any_of: rights(&access),
        operator: field(&access, "operator").as_bool()?,
    })
}

fn field(message: &DynamicMessage, name: &str) -> Value {
    message
        .get_field_by_name(name)
        .map_or(Value::Bool(false), std::borrow::Cow::into_owned)
}

fn rights(access: &DynamicMessage) -> Vec<Right> {
    let Value::List(numbers) = field(access, "any_of") else {
        return Vec::new();
    };
    numbers
        .iter()
        .filter_map(Value::as_enum_number)
        .filter_map(|number| crate::convert::right(v1::Right::try_from(number).ok()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_says_who_may_call_it() {
        let table = access_table();
        let methods: Vec<_> = pool()
            .services()
            .flat_map(|s| s.methods().map(|m| path(&m)).collect::<Vec<_>>())
            .collect();
        assert!(methods.len() > 20);
        for method in methods {
            assert!(
                table.contains_key(&method),
                "{method} has no (gantry.v1.access) option"
            );
        }
        assert_eq!(
            table["/gantry.v1.SyncService/Sync"].any_of,
            [Right::Gateway]
        );
        assert!(table["/gantry.v1.AdminService/CreateTenant"].operator);
        assert_eq!(table["/gantry.v1.AdminService/WhoAmI"].any_of, []);
    }
}
