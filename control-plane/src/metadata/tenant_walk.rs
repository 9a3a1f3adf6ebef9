//! Going through all tenants, for what is done to each: repairs and sweeps.

use std::vec;

use gantry_domain::TenantId;

use super::{Metadata, MetadataError, TenantRow};

/// Tenants that are read in one go.
const PAGE_ENTRIES: usize = 500;

/// All tenants, in the order of their names. Those that are created meanwhile may be among them.
#[derive(Debug)]
pub struct TenantWalk<'m> {
    metadata: &'m Metadata,
    page: vec::IntoIter<TenantRow>,
    last: Option<TenantId>,
}

impl Metadata {
    /// Starts before the first tenant.
    pub fn all_tenants(&self) -> TenantWalk<'_> {
        TenantWalk {
            metadata: self,
            page: Vec::new().into_iter(),
            last: None,
        }
    }
}

impl TenantWalk<'_> {
    /// The next one; `None` behind the last.
    ///
    /// # Errors
    /// The store does not say which tenants there are.
    pub async fn next(&mut self) -> Result<Option<TenantId>, MetadataError> {
        if self.page.len() == 0 {
            let tenants = self.metadata.tenants(self.last.as_ref(), PAGE_ENTRIES);
            self.page = tenants.await?.into_iter();
        }
        let next = self.page.next().map(|row| row.tenant);
        self.last.clone_from(&next);
        Ok(next)
    }
}
