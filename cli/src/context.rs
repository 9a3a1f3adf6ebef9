//! What a command works with: a printer, the settings, and the control plane when it asks for it.

use std::future::Future;

use gantry_client::{Client, ClientError, ClientOptions};

use crate::error::{CliError, Operation};
use crate::printer::Printer;
use crate::settings::{Settings, read_text};

/// Bytes of a file of CA certificates, at most.
const CA_BYTES_MAX: u64 = 1 << 20;
/// Entries of a page that a listing asks for; the control plane's own bound.
const PAGE_ENTRIES: u32 = 500;

/// Everything a command needs besides its own arguments.
#[derive(Debug)]
pub(crate) struct Context {
    printer: Printer,
    settings: Settings,
}

impl Context {
    pub(crate) fn new(printer: Printer, settings: Settings) -> Self {
        if let Some(warning) = &settings.warning {
            printer.warn(warning);
        }
        Self { printer, settings }
    }

    pub(crate) const fn printer(&self) -> &Printer {
        &self.printer
    }

    /// The environment that was named, on the wire.
    pub(crate) fn environment(&self) -> Result<String, CliError> {
        Ok(self.settings.environment()?.to_string())
    }

    /// The control plane.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let settings = &self.settings;
        let ca_pem = settings
            .ca_file
            .as_ref()
            .map(|path| {
                let text = read_text(path, CA_BYTES_MAX);
                text.map(String::into_bytes)
                    .map_err(|source| CliError::File {
                        path: path.clone(),
                        source,
                    })
            })
            .transpose()?;
        let options = ClientOptions {
            ca_pem,
            allow_plaintext_remote: settings.allow_plaintext,
            call_timeout: settings.timeout,
            ..ClientOptions::default()
        };
        Ok(Client::connect(
            settings.endpoint()?,
            settings.token()?,
            options,
        )?)
    }
}

/// A refusal of something that is neither a push nor a deployment.
pub(crate) fn refused(error: ClientError) -> CliError {
    CliError::Refused {
        operation: Operation::Other,
        error,
    }
}

/// A listing, cut at what was asked for.
pub(crate) struct Listing<T> {
    pub(crate) entries: Vec<T>,
    /// There are more.
    pub(crate) cut: bool,
}

impl<T> Listing<T> {
    /// Says so if there are more.
    pub(crate) fn tell(self, printer: &Printer) -> Vec<T> {
        if self.cut {
            let shown = self.entries.len();
            printer.warn(format_args!(
                "only the first {shown} are shown; --limit shows more"
            ));
        }
        self.entries
    }
}

/// Asks page by page until the listing ends or has `limit` entries. `page` gets size and token of a
/// page, and gives its entries and the next token, empty at the end.
pub(crate) async fn list<T, F>(
    limit: usize,
    page: impl Fn(u32, String) -> F,
) -> Result<Listing<T>, CliError>
where
    F: Future<Output = Result<(Vec<T>, String), ClientError>>,
{
    let mut entries: Vec<T> = Vec::new();
    let mut token = String::new();
    loop {
        let (more, next) = page(PAGE_ENTRIES, token).await.map_err(refused)?;
        entries.extend(more);
        let cut = entries.len() > limit || (entries.len() == limit && !next.is_empty());
        if next.is_empty() || cut {
            entries.truncate(limit);
            return Ok(Listing { entries, cut });
        }
        token = next;
    }
}
