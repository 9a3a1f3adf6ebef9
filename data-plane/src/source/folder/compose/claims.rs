//! Routes that several definitions claim.

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_domain::api_definition::Route;
use gantry_domain::{ApiDefinition, ApiId};

use super::super::Refused;
use super::Definitions;

/// Those that claim a route which one API has had before: they are refused, and it keeps the route. A
/// route that nobody had, or that several had, is refused to all by the plan.
pub(super) fn newcomers(
    all: &Definitions,
    before: &BTreeMap<ApiId, (Arc<[u8]>, ApiDefinition)>,
) -> Vec<(ApiId, Refused)> {
    let mut claims: BTreeMap<Route, Vec<&ApiId>> = BTreeMap::new();
    for (id, (_, definition)) in all {
        if let Some(definition) = definition.as_ref().filter(|definition| definition.active) {
            claims.entry(definition.route()).or_default().push(id);
        }
    }
    let mut newcomers = Vec::new();
    for (route, ids) in claims.into_iter().filter(|(_, ids)| ids.len() > 1) {
        let had = |id: &ApiId| {
            let before = before.get(id).map(|(_, definition)| definition);
            before.is_some_and(|before| before.active && before.route() == route)
        };
        let (first, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(|id| had(id));
        let [first] = first[..] else { continue };
        newcomers.extend(others.into_iter().map(|id| {
            let message =
                format!("answers at the host and path of API {first}, which was there first");
            (id.clone(), Refused::new("ROUTE_CONFLICT", message))
        }));
    }
    newcomers
}
