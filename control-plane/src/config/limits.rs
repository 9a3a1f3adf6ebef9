//! `[limits]`: bounds on what tenants send and keep. Their meaning is documented at
//! [`Limits`]; a bound that the wire gives cannot be set here.

use gantry_domain::Limits;

use super::source::Source;

pub(super) fn read(source: &mut Source) -> Limits {
    let default = Limits::default();
    Limits {
        file_bytes_max: source.setting("limits.file_bytes_max", default.file_bytes_max),
        bundle_files_max: source.setting("limits.bundle_files_max", default.bundle_files_max),
        bundle_bytes_max: source.setting("limits.bundle_bytes_max", default.bundle_bytes_max),
        hook_entries_max: source.setting("limits.hook_entries_max", default.hook_entries_max),
        apis_max: source.setting("limits.apis_max", default.apis_max),
        openapi_documents_max: source.setting(
            "limits.openapi_documents_max",
            default.openapi_documents_max,
        ),
        keys_max: source.setting("limits.keys_max", default.keys_max),
        environments_max: source.setting("limits.environments_max", default.environments_max),
        tokens_max: source.setting("limits.tokens_max", default.tokens_max),
        uploads_open_max: source.setting("limits.uploads_open_max", default.uploads_open_max),
        gateways_max: source.setting("limits.gateways_max", default.gateways_max),
        ..default
    }
}
