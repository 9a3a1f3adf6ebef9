//! Which API a request belongs to: its host exactly, then the longest listen path that ends at a
//! segment boundary; if the host has none, the same among the APIs of any host.
//!
//! The choice is made once, before any function runs. A lookup costs one hash per segment of the
//! longest listen path of the host, whatever the length of the request's path and the number of APIs.

use std::collections::HashMap;

/// The table of one generation.
#[derive(Debug)]
pub struct Router<T> {
    hosts: HashMap<Box<str>, Prefixes<T>>,
    any_host: Prefixes<T>,
}

#[derive(Debug)]
struct Prefixes<T> {
    entries: HashMap<Box<str>, T>,
    /// Segments of the longest prefix.
    depth: usize,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self {
            hosts: HashMap::new(),
            any_host: Prefixes::default(),
        }
    }
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            depth: 0,
        }
    }
}

impl<T> Router<T> {
    /// Adds a route: the host in lower case without port, any when absent; the prefix without a slash
    /// at its end. Gives back what had the route before.
    pub fn insert(&mut self, domain: Option<&str>, prefix: &str, target: T) -> Option<T> {
        let prefixes = match domain {
            Some(domain) => self.hosts.entry(domain.into()).or_default(),
            None => &mut self.any_host,
        };
        prefixes.depth = prefixes.depth.max(prefix.matches('/').count());
        prefixes.entries.insert(prefix.into(), target)
    }

    /// The target for a host (lower case, without port) and a checked path.
    pub fn find(&self, host: &str, path: &str) -> Option<&T> {
        self.hosts
            .get(host)
            .and_then(|prefixes| prefixes.longest(path))
            .or_else(|| self.any_host.longest(path))
    }
}

impl<T> Prefixes<T> {
    fn longest(&self, path: &str) -> Option<&T> {
        let boundary = path
            .match_indices('/')
            .nth(self.depth)
            .map_or(path.len(), |(at, _)| at);
        let mut prefix = &path[..boundary];
        loop {
            if let Some(target) = self.entries.get(prefix) {
                return Some(target);
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(routes: &[(Option<&'static str>, &'static str)]) -> Router<String> {
        let mut router = Router::default();
        for (domain, prefix) in routes {
            let name = format!("{}{prefix}", domain.unwrap_or("*"));
            assert_eq!(router.insert(*domain, prefix, name), None);
        }
        router
    }

    #[test]
    fn longest_prefix_wins_and_ends_at_a_segment() {
        let router = router(&[(None, "/api"), (None, "/api/v1/users"), (None, "/apis")]);
        let find = |path| router.find("any", path).map(String::as_str);
        assert_eq!(find("/api"), Some("*/api"));
        assert_eq!(find("/api/"), Some("*/api"));
        assert_eq!(find("/api/v1/user"), Some("*/api"));
        assert_eq!(find("/api/v1/users/7/8/9/10"), Some("*/api/v1/users"));
        assert_eq!(find("/apis/x"), Some("*/apis"));
        assert_eq!(find("/apix"), None);
        assert_eq!(find("/"), None);
    }

    #[test]
    fn host_comes_first_and_falls_back_to_any_host() {
        let router = router(&[(Some("a.example"), "/x"), (None, "/x/long"), (None, "")]);
        let find = |host, path| router.find(host, path).map(String::as_str);
        assert_eq!(find("a.example", "/x/long"), Some("a.example/x"));
        assert_eq!(find("a.example", "/y"), Some("*"));
        assert_eq!(find("b.example", "/x/long/1"), Some("*/x/long"));
        assert_eq!(find("", "/"), Some("*"));
    }

    #[test]
    fn taken_route_gives_back_what_had_it() {
        let mut router = router(&[(None, "/x")]);
        assert_eq!(
            router.insert(None, "/x", "new".into()).as_deref(),
            Some("*/x")
        );
    }
}
