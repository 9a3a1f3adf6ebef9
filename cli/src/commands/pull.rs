//! `gantry pull`: brings a published version back, verified, into a folder or a zip.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use clap::Args;
use gantry_bundle::{BundleError, BundleSource, pack};
use gantry_client::Client;
use gantry_client::download::{self, Wanted};
use gantry_domain::{Digest, FileName, GatewayVersion, Limits, Platform};
use gantry_proto::v1;
use serde::Serialize;

use super::release::ReleaseName;
use crate::context::{Context, refused};
use crate::error::CliError;
use crate::meter::Meter;
use crate::view::{Shown, View, size};

const MANIFEST: &str = gantry_bundle::source::MANIFEST;

/// Arguments of `gantry pull`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gantry pull hooks@1.2.0                      into the folder hooks-1.2.0
  gantry pull hooks@1.2.0 --out hooks.zip      into a zip, which can be pushed again as it is
  gantry pull hooks@1.2.0 --platform linux/arm64 --gateway v5.3.0
                                               only what such a gateway can run

Every file is verified against the digests of the release. A pull that was interrupted goes on
where it stopped when it is repeated. Nothing that lies there already is overwritten. With
--platform or --gateway only libraries come, without manifest.json: they are no whole bundle.")]
pub(crate) struct Pull {
    /// The bundle and its version, such as hooks@1.2.0.
    #[arg(value_name = "BUNDLE@VERSION")]
    release: ReleaseName,
    /// Folder to make, or a zip if it ends in .zip; BUNDLE-VERSION without it.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Only libraries for this platform, such as linux/amd64.
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Only libraries for this gateway version or for any.
    #[arg(long, value_name = "VERSION")]
    gateway: Option<GatewayVersion>,
}

impl Pull {
    /// Whether files may be left out.
    const fn is_partial(&self) -> bool {
        self.platform.is_some() || self.gateway.is_some()
    }

    fn wants(&self, file: &v1::ReleaseFile) -> bool {
        let platform = self
            .platform
            .is_none_or(|wanted| file.platform.parse() == Ok(wanted));
        // A file without a version is for any.
        let gateway = file.gateway_version.is_empty()
            || self
                .gateway
                .is_none_or(|wanted| file.gateway_version.parse() == Ok(wanted));
        platform && gateway
    }
}

#[derive(Debug, Serialize)]
struct PulledFile {
    name: String,
    sha256: String,
    size_bytes: u64,
}

#[derive(Debug, Serialize)]
struct PulledView {
    bundle: String,
    version: String,
    path: PathBuf,
    files: Vec<PulledFile>,
    received_bytes: u64,
}

impl View for PulledView {
    fn shown(&self) -> Shown {
        let row = |file: &PulledFile| {
            vec![
                file.name.clone(),
                size(file.size_bytes),
                file.sha256.clone(),
            ]
        };
        Shown::Table {
            head: vec!["FILE", "SIZE", "SHA256"],
            rows: self.files.iter().map(row).collect(),
        }
    }
}

pub(super) async fn run(arguments: Pull, context: &Context) -> Result<(), CliError> {
    let ReleaseName { bundle, version } = &arguments.release;
    let default = || PathBuf::from(format!("{bundle}-{version}"));
    let out = arguments.out.clone().unwrap_or_else(default);
    let zip = out.extension().is_some_and(|suffix| suffix == "zip");
    if zip && out.exists() {
        return Err(taken(&out));
    }
    if zip && arguments.is_partial() {
        return Err(CliError::Usage {
            message: "expected a folder with --platform or --gateway, found a zip".to_owned(),
            hint: "a zip holds a whole bundle; name a folder with --out",
        });
    }
    // A zip is packed from a folder beside it, where an interrupted pull goes on.
    let folder = if zip {
        out.with_added_extension("partial")
    } else {
        out.clone()
    };
    let client = context.client()?;
    let answer = download::release(&client, bundle, version)
        .await
        .map_err(refused)?;
    let wanted = wanted(&answer, &arguments)?;
    fs::create_dir_all(&folder).map_err(written(&folder))?;
    let received_bytes = pull(context, &client, &arguments.release, &wanted, &folder).await?;
    if !arguments.is_partial() {
        let source = complete(&folder, &answer.manifest, &wanted)?;
        if zip {
            pack_into(&source, &out)?;
            fs::remove_dir_all(&folder).map_err(written(&folder))?;
        }
    }
    let view = PulledView {
        bundle: bundle.to_string(),
        version: version.to_string(),
        path: out,
        files: wanted.iter().map(PulledFile::from).collect(),
        received_bytes,
    };
    let printer = context.printer();
    printer.data(&view)?;
    if let Some(yank) = answer.yanked {
        printer.warn(format_args!(
            "{bundle}@{version} was yanked: {}",
            yank.reason
        ));
    }
    printer.note(format_args!(
        "Pulled {bundle}@{version} into {}; every file is what the release says.",
        view.path.display()
    ));
    Ok(())
}

impl From<&Wanted> for PulledFile {
    fn from(wanted: &Wanted) -> Self {
        Self {
            name: wanted.file.to_string(),
            sha256: wanted.digest.to_string(),
            size_bytes: wanted.size_bytes,
        }
    }
}

/// The files of a release. Their names were parsed, so that none leads out of the folder.
fn wanted(answer: &v1::GetReleaseResponse, arguments: &Pull) -> Result<Vec<Wanted>, CliError> {
    let release = answer.release.as_ref();
    let release = release.ok_or(CliError::Answer { missing: "release" })?;
    let one = |file: &v1::ReleaseFile| {
        Some(Wanted {
            file: file.name.parse::<FileName>().ok()?,
            digest: file.sha256.parse::<Digest>().ok()?,
            size_bytes: file.size_bytes,
        })
    };
    let chosen = release.files.iter().filter(|file| arguments.wants(file));
    let wanted: Option<Vec<_>> = chosen.map(one).collect();
    let wanted = wanted.ok_or(CliError::Answer {
        missing: "readable list of files",
    })?;
    if wanted.is_empty() {
        return Err(nothing_fits(release, arguments));
    }
    Ok(wanted)
}

fn nothing_fits(release: &v1::Release, arguments: &Pull) -> CliError {
    let or_any = |word: Option<String>| word.unwrap_or_else(|| "any".to_owned());
    let platform = or_any(arguments.platform.map(|platform| platform.to_string()));
    let gateway = or_any(arguments.gateway.map(|gateway| gateway.to_string()));
    let mut found: Vec<_> = release
        .files
        .iter()
        .map(|file| {
            let gateway = Some(&file.gateway_version).filter(|version| !version.is_empty());
            format!("{} for gateway {}", file.platform, or_any(gateway.cloned()))
        })
        .collect();
    found.sort();
    found.dedup();
    CliError::NothingFits {
        release: format!("{}@{}", release.bundle, release.version),
        expected: format!("a library for {platform} and gateway {gateway}"),
        found: found.join(", "),
    }
}

async fn pull(
    context: &Context,
    client: &Client,
    ReleaseName { bundle, version }: &ReleaseName,
    wanted: &[Wanted],
    folder: &Path,
) -> Result<u64, CliError> {
    let bar = context.printer().bytes_bar();
    bar.set_length(wanted.iter().map(|file| file.size_bytes).sum());
    bar.set_message(bundle.to_string());
    let meter = Meter::new(&bar);
    let progress = |file: &FileName, position| meter.reach(file.as_str(), position);
    let received = download::files(client, (bundle, version), wanted, folder, progress).await;
    bar.finish_and_clear();
    Ok(received?)
}

/// Writes the manifest last: a folder with one is a whole bundle. Then reads all of it back.
fn complete(folder: &Path, manifest: &[u8], wanted: &[Wanted]) -> Result<BundleSource, CliError> {
    let path = folder.join(MANIFEST);
    match fs::read(&path) {
        Ok(found) if found == manifest => {}
        Ok(_) => return Err(taken(&path)),
        Err(_) => fs::write(&path, manifest).map_err(written(&path))?,
    }
    let source = BundleSource::open(folder, &Limits::default())?;
    let digests: BTreeMap<_, _> = wanted
        .iter()
        .map(|file| (&file.file, file.digest))
        .collect();
    let same = |(file, digest): (&FileName, &Digest)| digests.get(file) == Some(digest);
    let files = &source.manifest().files;
    if files.len() != digests.len() || !files.iter().map(|(f, d)| (f, d)).all(same) {
        return Err(CliError::Answer {
            missing: "manifest that fits its files",
        });
    }
    Ok(source)
}

fn pack_into(source: &BundleSource, out: &Path) -> Result<(), CliError> {
    let file = File::create_new(out).map_err(written(out))?;
    let packed =
        pack(source, &file).and_then(|()| file.sync_all().map_err(BundleError::Unwritable));
    packed.map_err(|error| {
        // Half a zip is none. If even that fails, the error that is told is the first one.
        let _ = fs::remove_file(out);
        error.into()
    })
}

fn taken(path: &Path) -> CliError {
    let there = std::io::Error::new(
        std::io::ErrorKind::AlreadyExists,
        "something else is there already",
    );
    written(path)(there)
}

fn written(path: &Path) -> impl FnOnce(std::io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::Written { path, source }
}
