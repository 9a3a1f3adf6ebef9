//! Bundles by plain HTTP: the same way in as for every other caller, and nothing left when refused.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use gantry_domain::Limits;
use gantry_proto::v1;
use serde_json::Value;
use tokio::process::Command;

use crate::support::{Bundle, PATIENCE, Plugin, TestApp};

const REGULAR: u32 = 0o100_644;
const SYMLINK: u32 = 0o120_777;

/// An archive of stored entries, however wrong they are.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what tests put into archives is small"
)]
fn zip(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, content, mode) in entries {
        let (size, offset) = (content.len() as u32, body.len() as u32);
        let mut common = Vec::new();
        common.extend(20u16.to_le_bytes());
        common.extend([0; 8]);
        common.extend(crc32(content).to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        body.extend(b"PK\x03\x04");
        body.extend(&common);
        body.extend(name.as_bytes());
        body.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (offset, size) = (body.len() as u32, directory.len() as u32);
    let count = (entries.len() as u16).to_le_bytes();
    body.extend(directory);
    body.extend(b"PK\x05\x06\0\0\0\0");
    body.extend(count);
    body.extend(count);
    body.extend(size.to_le_bytes());
    body.extend(offset.to_le_bytes());
    body.extend([0; 2]);
    body
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

fn archive(bundle: &Bundle) -> Vec<u8> {
    let files = bundle.files.iter();
    let files = files.map(|(name, bytes)| (name.as_str(), bytes.as_slice(), REGULAR));
    let manifest = ("manifest.json", bundle.manifest.as_bytes(), REGULAR);
    zip(&std::iter::once(manifest).chain(files).collect::<Vec<_>>())
}

/// What curl got: status and body.
async fn curl(arguments: &[&str], url: String) -> (u16, Value) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}"])
        .args(arguments)
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, output).await.unwrap();
    let output = output.expect("curl is among what the tests need");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    (
        status.parse().unwrap(),
        serde_json::from_str(body).unwrap_or_default(),
    )
}

async fn put(to: SocketAddr, token: &str, file: &Path) -> (u16, Value) {
    let (authorization, file) = (format!("authorization: Bearer {token}"), file.display());
    let arguments = ["-T", &file.to_string(), "-H", &authorization];
    curl(&arguments, format!("http://{to}/v1/bundles")).await
}

#[tokio::test]
async fn zip_with_curl_is_published_as_a_push_is() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = acme.token(&[v1::Right::Publish]).await.secret;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.zip");
    std::fs::write(&file, archive(&bundle)).unwrap();
    let to = app.http().await;
    let (status, first) = put(to, &token, &file).await;
    assert_eq!(
        (status, &first["already_published"]),
        (201, &false.into()),
        "{first}"
    );
    let (status, second) = put(to, &token, &file).await;
    assert_eq!((status, &second["already_published"]), (200, &true.into()));
    assert_eq!(second["release"], first["release"]);
    // A push finds the very same release.
    let pushed = acme.push(&bundle).await.unwrap();
    assert!(pushed.already_published);
    assert_eq!(first["release"]["digest"], pushed.release.unwrap().digest);
    assert_eq!((app.objects().len(), app.spooled()), (2, 0));
    // Other bytes under the same version.
    let other = Plugin {
        build: "2",
        ..Plugin::SIMPLE
    };
    let other = Bundle::simple("hooks", "1.0.0", &other.compile());
    std::fs::write(&file, archive(&other)).unwrap();
    let (status, refusal) = put(to, &token, &file).await;
    assert_eq!(
        (status, &refusal["error"]["code"]),
        (409, &"VERSION_IMMUTABLE".into())
    );
}

#[tokio::test]
async fn hostile_archive_is_refused_and_leaves_nothing_behind() {
    let app = TestApp::start_with(Limits::for_tests()).await;
    let acme = app.tenant("acme").await;
    let token = acme.token(&[v1::Right::Publish]).await.secret;
    let library = Plugin::SIMPLE.compile();
    let bundle = Bundle::simple("hooks", "1.0.0", &library);
    let manifest = ("manifest.json", bundle.manifest.as_bytes(), REGULAR);
    let with = |entry| zip(&[manifest, entry]);
    let lying = Bundle::new(
        "hooks",
        "1.0.0",
        r#""pre":[{"name":"Sub","path":"hooks.so"}]"#,
        &[("hooks.so", &library)],
    );
    let many: Vec<_> = (0..20).map(|i| format!("f{i}.so")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|name| (name.as_str(), &b"x"[..], REGULAR))
        .collect();
    let cases = [
        (b"no zip at all".to_vec(), 400, "ARCHIVE_MALFORMED"),
        (with(("../hooks.so", &library, REGULAR)), 422, "ENTRY_NAME"),
        (
            with(("/etc/hooks.so", &library, REGULAR)),
            422,
            "ENTRY_NAME",
        ),
        (
            with(("hooks.so", b"/etc/passwd", SYMLINK)),
            422,
            "ENTRY_NOT_A_FILE",
        ),
        (zip(&[manifest, manifest]), 422, "ENTRY_DUPLICATE"),
        (
            zip(&[("hooks.so", &library, REGULAR)]),
            422,
            "MANIFEST_MISSING",
        ),
        (zip(&many), 413, "TOO_LARGE"),
        (
            with(("hooks.so", b"other bytes", REGULAR)),
            422,
            "DIGEST_MISMATCH",
        ),
        (archive(&lying), 422, "FUNCTION_NOT_FOUND"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hostile.zip");
    let (to, before) = (app.http().await, app.rows().await);
    for (body, status, code) in cases {
        std::fs::write(&file, body).unwrap();
        let (found, refusal) = put(to, &token, &file).await;
        assert_eq!(
            (found, &refusal["error"]["code"]),
            (status, &code.into()),
            "{refusal}"
        );
        assert_eq!(
            (app.objects(), app.rows().await),
            (vec![], before.clone()),
            "{code}"
        );
        assert_eq!(app.spooled(), 0, "{code}");
    }
    // Larger than any bundle: refused by its announced length, before it is sent.
    std::fs::File::create(&file)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let (status, refusal) = put(to, &token, &file).await;
    assert_eq!(
        (status, &refusal["error"]["code"]),
        (413, &"TOO_LARGE".into())
    );
}

#[tokio::test]
async fn door_asks_for_the_right_of_publishing_and_tells_how_things_are() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hooks.zip");
    std::fs::write(
        &file,
        archive(&Bundle::simple("hooks", "1.0.0", &[0; 4000])),
    )
    .unwrap();
    let to = app.http().await;
    let deployer = acme.token(&[v1::Right::Deploy]).await.secret;
    for (token, status, code) in [
        ("nonsense", 401, "TOKEN_MALFORMED"),
        (deployer.as_str(), 403, "RIGHT_MISSING"),
    ] {
        let (found, refusal) = put(to, token, &file).await;
        assert_eq!((found, &refusal["error"]["code"]), (status, &code.into()));
    }
    for (path, method, status) in [
        ("livez", "GET", 200),
        ("readyz", "GET", 200),
        ("readyz", "DELETE", 405),
        ("v1/bundles", "POST", 405),
        ("v1/nothing", "GET", 404),
    ] {
        let (found, _) = curl(&["-X", method], format!("http://{to}/{path}")).await;
        assert_eq!(found, status, "{method} {path}");
    }
    assert_eq!((app.objects(), app.spooled()), (vec![], 0));
}
