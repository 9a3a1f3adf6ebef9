//! What is published: listed page by page, filtered, read back, yanked and unyanked.

use gantry_domain::{Digest, Limits};
use gantry_proto::v1;
use tonic::{Code, Status};

use crate::support::{Bundle, Caller, Plugin, TestApp, reason};

async fn push(caller: &Caller, bundle: &str, version: &str) -> Vec<u8> {
    let bytes = Plugin::SIMPLE.compile();
    let pushed = caller.push(&Bundle::simple(bundle, version, &bytes)).await;
    pushed.unwrap();
    bytes
}

async fn bundles(caller: &Caller, request: v1::ListBundlesRequest) -> v1::ListBundlesResponse {
    let listed = caller.catalog().list_bundles(request).await;
    listed.unwrap().into_inner()
}

fn names(page: &v1::ListBundlesResponse) -> Vec<&str> {
    page.bundles
        .iter()
        .map(|bundle| bundle.name.as_str())
        .collect()
}

async fn versions(caller: &Caller, request: v1::ListVersionsRequest) -> v1::ListVersionsResponse {
    let listed = caller.catalog().list_versions(request).await;
    listed.unwrap().into_inner()
}

fn numbers(page: &v1::ListVersionsResponse) -> Vec<&str> {
    page.versions
        .iter()
        .map(|version| version.version.as_str())
        .collect()
}

async fn yank(caller: &Caller, version: &str, etag: &str) -> Result<v1::YankResponse, Status> {
    let request = v1::YankRequest {
        bundle: "hooks".into(),
        version: version.into(),
        reason: "drops headers".into(),
        etag: etag.into(),
    };
    Ok(caller.catalog().yank(request).await?.into_inner())
}

async fn unyank(caller: &Caller, version: &str) -> v1::UnyankResponse {
    let request = v1::UnyankRequest {
        bundle: "hooks".into(),
        version: version.into(),
        etag: String::new(),
    };
    caller.catalog().unyank(request).await.unwrap().into_inner()
}

async fn get(caller: &Caller, version: &str) -> v1::GetReleaseResponse {
    let request = v1::GetReleaseRequest {
        bundle: "hooks".into(),
        version: version.into(),
    };
    caller
        .catalog()
        .get_release(request)
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn bundles_are_listed_by_name_page_by_page_and_by_what_they_begin_with() {
    let app = TestApp::start_with(Limits::for_tests()).await;
    let acme = app.tenant("acme").await;
    for name in ["auth_b", "auth_a", "hooks", "authxa"] {
        push(&acme, name, "1.0.0").await;
    }
    push(&acme, "hooks", "1.1.0").await;
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListBundlesRequest {
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let page = bundles(&acme, request).await;
        seen.extend(page.bundles.clone());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let all: Vec<_> = seen.iter().map(|bundle| bundle.name.as_str()).collect();
    assert_eq!(all, ["auth_a", "auth_b", "authxa", "hooks"]);
    assert_eq!(
        (seen[3].versions, seen[3].latest_version.as_str()),
        (2, "1.1.0")
    );
    // An underscore is a character of a name here, and nothing else.
    let request = v1::ListBundlesRequest {
        name_prefix: "auth_".into(),
        ..Default::default()
    };
    assert_eq!(names(&bundles(&acme, request).await), ["auth_a", "auth_b"]);
    let other = app.tenant("other").await;
    let none = bundles(&other, v1::ListBundlesRequest::default()).await;
    assert_eq!(names(&none), [""; 0]);
    let refusal = other
        .catalog()
        .list_versions(v1::ListVersionsRequest {
            bundle: "hooks".into(),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(reason(&refusal), "BUNDLE_NOT_FOUND");
}

#[tokio::test]
async fn versions_are_listed_newest_first_and_filtered_by_one_file_that_fits_all() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    push(&acme, "hooks", "1.9.0").await;
    let build = |version, arm64| {
        Plugin {
            gateway_version: Some(version),
            arm64,
            ..Plugin::SIMPLE
        }
        .compile()
    };
    let hooks = r#""pre":[{"name":"Add","path":"hooks.so"}]"#;
    let (old, new) = (build("5.3.0", false), build("5.4.0", true));
    let files = [
        ("hooks_v5.3.0_linux_amd64.so", old.as_slice()),
        ("hooks_v5.4.0_linux_arm64.so", new.as_slice()),
    ];
    acme.push(&Bundle::new("hooks", "1.10.0", hooks, &files))
        .await
        .unwrap();
    let list = |filter: v1::ReleaseFilter, page_size, page_token: &str| v1::ListVersionsRequest {
        bundle: "hooks".into(),
        filter: Some(filter),
        page_size,
        page_token: page_token.into(),
    };
    let first = versions(&acme, list(v1::ReleaseFilter::default(), 1, "")).await;
    assert_eq!(numbers(&first), ["1.10.0"]);
    assert_eq!(first.versions[0].platforms, ["linux_amd64", "linux_arm64"]);
    assert_eq!(first.versions[0].gateway_versions, ["v5.3.0", "v5.4.0"]);
    let token = first.next_page_token;
    let second = versions(&acme, list(v1::ReleaseFilter::default(), 1, &token)).await;
    assert_eq!(
        (numbers(&second), second.next_page_token.as_str()),
        (vec!["1.9.0"], "")
    );
    for (platform, gateway_version, expected) in [
        ("linux/arm64", "", &["1.10.0"][..]),
        ("linux_arm64", "5.3.0", &[]),
        ("", "5.3.0", &["1.10.0", "1.9.0"]),
        ("", "v6.0.0", &["1.9.0"]),
    ] {
        let filter = v1::ReleaseFilter {
            platform: platform.into(),
            gateway_version: gateway_version.into(),
            ..Default::default()
        };
        let found = versions(&acme, list(filter, 0, "")).await;
        assert_eq!(numbers(&found), expected, "{platform} {gateway_version}");
    }
    let forged = acme
        .catalog()
        .list_versions(list(v1::ReleaseFilter::default(), 0, "nonsense"))
        .await
        .unwrap_err();
    assert_eq!(forged.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn file_is_read_back_from_any_offset_and_none_beyond_its_end() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bytes = push(&acme, "hooks", "1.0.0").await;
    let download = |file: &str, offset| v1::DownloadFileRequest {
        bundle: "hooks".into(),
        version: "1.0.0".into(),
        file: file.into(),
        offset,
    };
    let length = bytes.len();
    for offset in [0, 1, length - 1, length] {
        let request = download("hooks.so", offset as u64);
        let answer = acme.catalog().download_file(request).await.unwrap();
        let (mut stream, mut read) = (answer.into_inner(), Vec::new());
        while let Some(chunk) = stream.message().await.unwrap() {
            assert_eq!(chunk.size_bytes, length as u64);
            read.extend_from_slice(&chunk.data);
        }
        assert_eq!(read, bytes[offset..], "from {offset}");
    }
    let beyond = download("hooks.so", length as u64 + 1);
    let refusal = acme.catalog().download_file(beyond).await.unwrap_err();
    assert_eq!(reason(&refusal), "OFFSET_INVALID");
    let absent = acme.catalog().download_file(download("other.so", 0)).await;
    assert_eq!(reason(&absent.unwrap_err()), "FILE_NOT_FOUND");
    let found = get(&acme, "1.0.0").await;
    let manifest = String::from_utf8(found.manifest).unwrap();
    assert!(
        manifest.contains(&Digest::of(&bytes).to_string()),
        "{manifest}"
    );
}

#[tokio::test]
async fn yanked_version_cannot_be_deployed_anew_and_stays_where_it_runs() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    push(&acme, "hooks", "1.0.0").await;
    push(&acme, "hooks", "1.1.0").await;
    acme.deploy_bundle("hooks", "1.1.0", false).await.unwrap();
    let before = get(&acme, "1.1.0").await;
    assert_eq!(before.yanked, None);
    let first = yank(&acme, "1.1.0", &before.etag).await.unwrap();
    let tombstone = "t/acme/yanked/hooks/1.1.0.json".to_owned();
    assert!(app.objects().contains(&tombstone));
    assert!(
        app.rows()
            .await
            .contains(&"yanks: acme/hooks@1.1.0".to_owned())
    );

    // It runs on, also when it is confirmed, and comes nowhere else.
    acme.deploy_bundle("hooks", "1.1.0", false).await.unwrap();
    acme.environment("staging").await;
    let elsewhere = v1::DeployRequest {
        environment: "staging".into(),
        bundle: "hooks".into(),
        version: "1.1.0".into(),
        force: true,
    };
    let refusal = acme.deploy().deploy(elsewhere.clone()).await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "VERSION_YANKED")
    );
    assert!(refusal.message().contains("drops headers"), "{refusal:?}");
    acme.deploy_bundle("hooks", "1.0.0", false).await.unwrap();
    let back = acme.deploy_bundle("hooks", "1.1.0", false).await;
    assert_eq!(reason(&back.unwrap_err()), "VERSION_YANKED");

    // Listings say so.
    let listed = bundles(&acme, v1::ListBundlesRequest::default()).await;
    let hooks = &listed.bundles[0];
    assert_eq!((hooks.versions, hooks.yanked_versions), (2, 1));
    assert_eq!(hooks.latest_version, "1.0.0");
    for (yanked, expected) in [
        (v1::YankedFilter::Unspecified, &["1.1.0", "1.0.0"][..]),
        (v1::YankedFilter::Only, &["1.1.0"]),
        (v1::YankedFilter::Excluded, &["1.0.0"]),
    ] {
        let filter = v1::ReleaseFilter {
            yanked: yanked.into(),
            ..Default::default()
        };
        let request = v1::ListVersionsRequest {
            bundle: "hooks".into(),
            filter: Some(filter),
            ..Default::default()
        };
        assert_eq!(numbers(&versions(&acme, request).await), expected);
    }

    // Again changes nothing; an old etag is refused; taken back it is as before.
    assert_eq!(yank(&acme, "1.1.0", "").await.unwrap(), first);
    let refusal = yank(&acme, "1.1.0", &before.etag).await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    assert_eq!(unyank(&acme, "1.1.0").await.etag, before.etag);
    assert_eq!(unyank(&acme, "1.1.0").await.etag, before.etag);
    assert!(!app.objects().contains(&tombstone));
    acme.deploy().deploy(elsewhere).await.unwrap();
}

#[tokio::test]
async fn rows_follow_tombstones_when_the_control_plane_starts() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = acme.token(&[v1::Right::Publish]).await.secret;
    push(&acme, "hooks", "1.0.0").await;
    push(&acme, "hooks", "1.1.0").await;
    yank(&acme, "1.0.0", "").await.unwrap();
    // A crash between tombstone and row, once on the way in and once on the way out.
    let folder = app.objects_dir().join("t/acme/yanked/hooks");
    let text = std::fs::read_to_string(folder.join("1.0.0.json")).unwrap();
    let app = app.stop().await;
    std::fs::remove_file(folder.join("1.0.0.json")).unwrap();
    std::fs::write(folder.join("1.1.0.json"), text.replace("1.0.0", "1.1.0")).unwrap();
    let app = app.start().await;
    let acme = app.as_token(&token);
    assert_eq!(get(&acme, "1.0.0").await.yanked, None);
    let yanked = get(&acme, "1.1.0").await.yanked.unwrap();
    assert_eq!(yanked.reason, "drops headers");
}
