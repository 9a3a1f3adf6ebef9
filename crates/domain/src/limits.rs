//! Every bound on what a tenant can send or keep, in one place and passed as an argument.

/// Bounds. All are inclusive: exactly the limit is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One file of a bundle, bytes.
    pub file_bytes_max: u64,
    /// Files in a bundle.
    pub bundle_files_max: usize,
    /// All files of a bundle together, bytes.
    pub bundle_bytes_max: u64,
    /// `manifest.json`, bytes.
    pub manifest_bytes_max: usize,
    /// An API definition, bytes of JSON.
    pub definition_bytes_max: usize,
    /// `config_data` of an API definition, bytes of JSON.
    pub config_data_bytes_max: usize,
    /// The `OpenAPI` document of an API definition, bytes of JSON.
    pub openapi_bytes_max: usize,
    /// Depth of that document.
    pub openapi_depth_max: usize,
    /// A session document, bytes of JSON.
    pub session_bytes_max: usize,
    /// Depth of any JSON document.
    pub json_depth_max: usize,
    /// Functions at one hook of one API.
    pub hook_entries_max: usize,
    /// Functions of endpoints of one API.
    pub endpoint_entries_max: usize,
    /// API definitions in an environment.
    pub apis_max: usize,
    /// `OpenAPI` documents of a tenant.
    pub openapi_documents_max: usize,
    /// Consumer keys in an environment.
    pub keys_max: usize,
    /// Environments of a tenant.
    pub environments_max: usize,
    /// Live tokens of a tenant.
    pub tokens_max: usize,
    /// Upload sessions of a tenant that are open at once.
    pub uploads_open_max: usize,
    /// Bytes of one chunk on the wire.
    pub chunk_bytes_max: usize,
    /// A page of a listing, entries.
    pub page_entries_max: usize,
    /// Gateways of an environment that are connected at once.
    pub gateways_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 1 << 30,
            bundle_files_max: 64,
            bundle_bytes_max: 4 << 30,
            manifest_bytes_max: 256 << 10,
            definition_bytes_max: 256 << 10,
            config_data_bytes_max: 64 << 10,
            openapi_bytes_max: 4 << 20,
            openapi_depth_max: 100,
            session_bytes_max: 16 << 10,
            json_depth_max: 32,
            hook_entries_max: 32,
            endpoint_entries_max: 128,
            apis_max: 10_000,
            openapi_documents_max: 10_000,
            keys_max: 1_000_000,
            environments_max: 64,
            tokens_max: 1_000,
            uploads_open_max: 32,
            chunk_bytes_max: 1 << 20,
            page_entries_max: 500,
            gateways_max: 10_000,
        }
    }
}

impl Limits {
    /// Small bounds, so that a test can cross each of them cheaply.
    pub fn for_tests() -> Self {
        Self {
            file_bytes_max: 8 << 20,
            bundle_files_max: 8,
            bundle_bytes_max: 32 << 20,
            apis_max: 16,
            openapi_documents_max: 4,
            keys_max: 16,
            environments_max: 4,
            tokens_max: 16,
            uploads_open_max: 4,
            page_entries_max: 4,
            gateways_max: 4,
            ..Self::default()
        }
    }
}
