//! Pages of listings. A page token is the name of the last entry of the page before.

use std::fmt::Display;
use std::str::FromStr;

use gantry_domain::{FieldError, Limits};
use gantry_proto::convert;

/// Entries of a page that names no size.
const ENTRIES_DEFAULT: usize = 100;
/// Bytes of a page's entries; keeps the answer within the bound of a message.
const BYTES_MAX: usize = 768 << 10;

/// Which page is asked for.
pub(super) struct Page<T> {
    /// The last entry of the page before.
    pub(super) after: Option<T>,
    /// How many entries it may have.
    pub(super) entries: usize,
}

impl<T> Page<T>
where
    T: FromStr,
    T::Err: Display,
{
    /// Reads the fields that every listing has.
    pub(super) fn read(size: u32, token: &str, limits: &Limits) -> Result<Self, FieldError> {
        let max = limits.page_entries_max;
        let entries = match usize::try_from(size).unwrap_or(usize::MAX) {
            0 => ENTRIES_DEFAULT.min(max),
            entries if entries <= max => entries,
            entries => {
                return Err(FieldError {
                    path: "page_size".into(),
                    code: "FIELD_INVALID",
                    expected: format!("0 to {max}"),
                    found: entries.to_string(),
                });
            }
        };
        Ok(Self {
            after: convert::optional("page_token", token)?,
            entries,
        })
    }

    /// How many to read: one more than the page has, to know whether another one follows.
    pub(super) fn read_ahead(&self) -> usize {
        self.entries + 1
    }

    /// Cuts what was read to the page, and names the next one.
    pub(super) fn cut<M: prost::Message>(
        &self,
        mut read: Vec<M>,
        name: impl Fn(&M) -> String,
    ) -> (Vec<M>, String) {
        let mut bytes = 0;
        let fits = read.iter().take(self.entries).take_while(|message| {
            bytes += message.encoded_len();
            bytes <= BYTES_MAX
        });
        // One entry is always within a message: each kind has its own bound.
        let count = fits.count().max(1).min(read.len());
        let more = count < read.len();
        read.truncate(count);
        let next = read.last().filter(|_| more).map(name).unwrap_or_default();
        (read, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_domain::TenantId;
    use gantry_proto::v1::Tenant;

    fn tenants(count: usize, name_bytes: usize) -> Vec<Tenant> {
        let tenant = |i| Tenant {
            name: format!("{i}{}", "x".repeat(name_bytes)),
            created_at_ms: 0,
        };
        (0..count).map(tenant).collect()
    }

    #[test]
    fn page_ends_at_its_size_or_at_the_bound_of_a_message() {
        let page: Page<TenantId> = Page::read(2, "", &Limits::default()).unwrap();
        let name = |tenant: &Tenant| tenant.name.clone();
        let (cut, next) = page.cut(tenants(3, 0), name);
        assert_eq!((cut.len(), next.as_str()), (2, "1"));
        assert_eq!(page.cut(tenants(2, 0), name).1, "");
        assert_eq!(page.cut(tenants(0, 0), name).0.len(), 0);
        let (cut, next) = page.cut(tenants(2, 500 << 10), name);
        assert_eq!((cut.len(), next.is_empty()), (1, false));
    }

    #[test]
    fn page_beyond_the_bound_is_refused() {
        let refusal = Page::<TenantId>::read(501, "", &Limits::default())
            .err()
            .unwrap();
        assert_eq!(refusal.path, "page_size");
    }
}
