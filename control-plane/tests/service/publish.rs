//! What comes in, what is refused, and what is left behind: nothing.

use gantry_domain::{Digest, Limits};
use gantry_proto::v1;
use tonic::Code;

use crate::support::{Bundle, PATIENCE, Plugin, TestApp, codes, fields, reason};

#[tokio::test]
async fn push_is_published_under_the_documented_keys() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let build = |version, arm64| {
        Plugin {
            gateway_version: Some(version),
            arm64,
            ..Plugin::SIMPLE
        }
        .compile()
    };
    let files = [
        ("hooks_v5.3.0_linux_amd64.so", build("5.3.0", false)),
        ("hooks_v5.3.0_linux_arm64.so", build("5.3.0", true)),
        ("hooks_5.4.0_linux_amd64.so", build("5.4.0", false)),
        ("hooks_5.4.0_linux_arm64.so", build("5.4.0", true)),
    ];
    let borrowed: Vec<_> = files
        .iter()
        .map(|(name, bytes)| (*name, bytes.as_slice()))
        .collect();
    let hooks = r#""pre":[{"name":"Add","path":"hooks.so"}]"#;
    let published = acme
        .push(&Bundle::new("hooks", "1.0.0", hooks, &borrowed))
        .await
        .unwrap();
    let key = |target: &str, file: usize| {
        let (name, bytes) = &files[file];
        format!("t/acme/{target}/hooks/1.0.0/{}/{name}", Digest::of(bytes))
    };
    assert_eq!(
        app.objects(),
        [
            "t/acme/published/hooks/1.0.0.json".to_owned(),
            key("v5.3.0/linux_amd64", 0),
            key("v5.3.0/linux_arm64", 1),
            key("v5.4.0/linux_amd64", 2),
            key("v5.4.0/linux_arm64", 3),
        ]
    );
    let release = published.release.unwrap();
    let arm: Vec<_> = release
        .files
        .iter()
        .filter(|file| file.platform == "linux_arm64")
        .collect();
    assert_eq!(arm.len(), 2);
    assert_eq!(arm[0].gateway_version, "v5.3.0");
    assert_eq!(arm[0].functions, ["Add"]);
}

#[tokio::test]
async fn file_with_another_digest_is_refused_and_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = app.rows().await;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let upload = acme.begin(&bundle).await.unwrap().upload_id;
    let mut bytes = bundle.bytes_of("hooks.so").to_vec();
    bytes[40] ^= 1;
    let refusal = acme.send(&upload, "hooks.so", 0, &bytes).await.unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::DataLoss, "DIGEST_MISMATCH")
    );
    let expected = Digest::of(bundle.bytes_of("hooks.so")).to_string();
    for part in ["hooks.so", &expected, &Digest::of(&bytes).to_string()] {
        assert!(
            refusal.message().contains(part),
            "{} lacks {part}",
            refusal.message()
        );
    }
    assert_eq!(app.objects(), [""; 0]);
    assert_eq!(app.rows().await, before);
    let gone = acme
        .publish()
        .publish(v1::PublishRequest { upload_id: upload })
        .await
        .unwrap_err();
    assert_eq!(reason(&gone), "UPLOAD_NOT_FOUND");
}

#[tokio::test]
async fn file_longer_than_declared_is_refused_and_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = app.rows().await;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let upload = acme.begin(&bundle).await.unwrap().upload_id;
    let longer = [bundle.bytes_of("hooks.so"), b"x"].concat();
    let refusal = acme
        .send(&upload, "hooks.so", 0, &longer)
        .await
        .unwrap_err();
    assert_eq!(reason(&refusal), "SIZE_MISMATCH");
    assert_eq!((app.objects(), app.rows().await), (vec![], before));
}

#[tokio::test]
async fn name_that_lies_about_its_machine_or_version_is_refused_and_leaves_nothing_behind() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = app.rows().await;
    let plain = Plugin::SIMPLE.compile();
    let versioned = Plugin {
        gateway_version: Some("5.3.0"),
        ..Plugin::SIMPLE
    }
    .compile();
    for (name, bytes, code) in [
        (
            "hooks_v5.3.0_linux_arm64.so",
            &plain,
            "NAME_PLATFORM_MISMATCH",
        ),
        (
            "hooks_v5.4.0_linux_amd64.so",
            &versioned,
            "NAME_VERSION_MISMATCH",
        ),
        ("hooks.so", &b"no library at all".to_vec(), "ELF_MISSING"),
    ] {
        let hooks = r#""pre":[{"name":"Add","path":"hooks.so"}]"#;
        let refusal = acme
            .push(&Bundle::new("hooks", "1.0.0", hooks, &[(name, bytes)]))
            .await
            .unwrap_err();
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::InvalidArgument, code)
        );
        assert_eq!(fields(&refusal), [format!("files.{name}")]);
        assert_eq!(
            (app.objects(), app.rows().await),
            (vec![], before.clone()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn hook_that_no_file_answers_as_declared_is_refused_with_its_path() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bytes = Plugin::SIMPLE.compile();
    for (hooks, field, code) in [
        (
            r#""pre":[{"name":"Add","path":"other.so"}]"#,
            "pre[0].path",
            "FILE_NOT_FOUND",
        ),
        (
            r#""pre":[{"name":"Sub","path":"hooks.so"}]"#,
            "pre[0].name",
            "FUNCTION_NOT_FOUND",
        ),
        (
            r#""auth_check":{"name":"Add","path":"hooks.so"}"#,
            "auth_check.name",
            "HOOK_UNDECLARED",
        ),
    ] {
        let bundle = Bundle::new("hooks", "1.0.0", hooks, &[("hooks.so", &bytes)]);
        let refusal = acme.push(&bundle).await.unwrap_err();
        assert_eq!(reason(&refusal), code);
        assert_eq!(fields(&refusal), [format!("custom_middleware.{field}")]);
    }
    assert_eq!(app.objects(), [""; 0]);
}

#[tokio::test]
async fn same_version_again_is_the_same_answer_and_other_bytes_are_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let begun = acme.begin(&bundle).await.unwrap();
    acme.send(&begun.upload_id, "hooks.so", 0, bundle.bytes_of("hooks.so"))
        .await
        .unwrap();
    let publish = v1::PublishRequest {
        upload_id: begun.upload_id,
    };
    let first = acme
        .publish()
        .publish(publish.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(!first.already_published);
    // The caller who lost the answer asks again; another one pushes again.
    let second = acme.publish().publish(publish).await.unwrap().into_inner();
    let third = acme.push(&bundle).await.unwrap();
    assert!(second.already_published && third.already_published);
    assert_eq!(
        (&second.release, &third.release),
        (&first.release, &first.release)
    );
    let objects = app.objects();

    let other = Plugin {
        build: "2",
        ..Plugin::SIMPLE
    }
    .compile();
    let refusal = acme
        .push(&Bundle::simple("hooks", "1.0.0", &other))
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::AlreadyExists, "VERSION_IMMUTABLE")
    );
    assert_eq!(app.objects(), objects);
}

#[tokio::test]
async fn two_drafts_of_one_version_race_and_the_first_to_publish_wins() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let drafts = ["1", "2"].map(|build| {
        Bundle::simple(
            "hooks",
            "1.0.0",
            &Plugin {
                build,
                ..Plugin::SIMPLE
            }
            .compile(),
        )
    });
    let mut uploads = Vec::new();
    for draft in &drafts {
        let upload = acme.begin(draft).await.unwrap().upload_id;
        acme.send(&upload, "hooks.so", 0, draft.bytes_of("hooks.so"))
            .await
            .unwrap();
        uploads.push(upload);
    }
    let publish = |upload: &String| v1::PublishRequest {
        upload_id: upload.clone(),
    };
    acme.publish().publish(publish(&uploads[0])).await.unwrap();
    let refusal = acme
        .publish()
        .publish(publish(&uploads[1]))
        .await
        .unwrap_err();
    assert_eq!(reason(&refusal), "VERSION_IMMUTABLE");
    assert!(!app.objects().iter().any(|path| path.contains("staging")));
}

#[tokio::test]
async fn unchanged_file_of_a_later_version_is_not_sent_and_points_at_the_first_key() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bytes = Plugin::SIMPLE.compile();
    acme.push(&Bundle::simple("hooks", "1.0.0", &bytes))
        .await
        .unwrap();
    let next = Bundle::simple("hooks", "1.1.0", &bytes);
    let begun = acme.begin(&next).await.unwrap();
    assert_eq!(begun.files[0].committed_bytes, bytes.len() as u64);
    let release = acme.push(&next).await.unwrap().release.unwrap();
    assert!(
        release.files[0].key.contains("/hooks/1.0.0/"),
        "{}",
        release.files[0].key
    );
    // Another tenant has to send its own bytes: nobody can find out what others have.
    let other = app.tenant("other").await;
    assert_eq!(
        other.begin(&next).await.unwrap().files[0].committed_bytes,
        0
    );
}

#[tokio::test]
async fn interrupted_upload_goes_on_where_it_stopped_even_after_a_restart() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let admin = acme.token(&[v1::Right::Publish]).await.secret;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let bytes = bundle.bytes_of("hooks.so").to_vec();
    let upload = acme.begin(&bundle).await.unwrap().upload_id;
    let progress = acme
        .send(&upload, "hooks.so", 0, &bytes[..1000])
        .await
        .unwrap();
    assert_eq!(progress.committed_bytes, 1000);
    let refusal = acme
        .send(&upload, "hooks.so", 999, &bytes[999..])
        .await
        .unwrap_err();
    assert_eq!(reason(&refusal), "OFFSET_MISMATCH");
    let early = acme
        .publish()
        .publish(v1::PublishRequest {
            upload_id: upload.clone(),
        })
        .await;
    assert_eq!(reason(&early.unwrap_err()), "UPLOAD_INCOMPLETE");

    let app = app.stop().await.start().await;
    let acme = app.as_token(&admin);
    let found = acme.begin(&bundle).await.unwrap();
    assert_eq!(
        (&found.upload_id, found.files[0].committed_bytes),
        (&upload, 1000)
    );
    acme.push(&bundle).await.unwrap();
}

#[tokio::test]
async fn published_object_without_a_row_is_rolled_forward_at_the_start() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let release = acme.push(&bundle).await.unwrap().release.unwrap();
    let objects = app.objects_dir();
    let published = app.stop().await;
    // A metadata store from before the publication, beside objects from after it.
    let fresh = TestApp::start().await;
    let token = fresh
        .tenant("acme")
        .await
        .token(&[v1::Right::Publish])
        .await
        .secret;
    let target = fresh.objects_dir();
    let fresh = fresh.stop().await;
    std::fs::remove_dir_all(&target).unwrap();
    std::fs::rename(&objects, &target).unwrap();
    drop(published);

    let app = fresh.start().await;
    let rows = app.rows().await;
    assert!(
        rows.contains(&"releases: acme/hooks@1.0.0".to_owned()),
        "{rows:?}"
    );
    let again = app.as_token(&token).push(&bundle).await.unwrap();
    assert!(again.already_published);
    assert_eq!(again.release.unwrap().digest, release.digest);
}

#[tokio::test]
async fn upload_of_a_revoked_token_is_ended_and_what_came_is_kept_for_another() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let issued = acme.token(&[v1::Right::Publish]).await;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let upload = acme.begin(&bundle).await.unwrap().upload_id;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let chunk = bytes::Bytes::copy_from_slice(&bundle.bytes_of("hooks.so")[..1000]);
    let first = v1::UploadFileRequest {
        upload_id: upload.clone(),
        file: "hooks.so".into(),
        offset: 0,
        chunk,
    };
    sender.send(first).await.unwrap();
    let mut publish = app.as_token(&issued.secret).publish();
    let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let sending = tokio::spawn(async move { publish.upload_file(stream).await });
    // The first message has been taken when there is room for the next one.
    sender.reserve().await.unwrap().send(v1::UploadFileRequest {
        offset: 1000,
        ..Default::default()
    });
    let staged = format!("t/acme/staging/{upload}/hooks.so");
    let arrived = async {
        while !app.objects().contains(&staged) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    let id = issued.token.unwrap().id;
    acme.admin()
        .revoke_token(v1::RevokeTokenRequest { id })
        .await
        .unwrap();
    let ended = tokio::time::timeout(PATIENCE, sending)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(reason(&ended.unwrap_err()), "TOKEN_REVOKED");
    let request = v1::GetUploadRequest { upload_id: upload };
    let kept = async {
        loop {
            let files = acme
                .publish()
                .get_upload(request.clone())
                .await
                .unwrap()
                .into_inner()
                .files;
            if files[0].committed_bytes > 0 {
                return files[0].committed_bytes;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, kept).await.unwrap(), 1000);
}

#[tokio::test]
async fn damage_of_one_tenant_keeps_no_other_from_being_served() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = acme.token(&[v1::Right::Publish]).await.secret;
    let damaged = app.objects_dir().join("t/acme/published/broken");
    std::fs::create_dir_all(&damaged).unwrap();
    std::fs::write(damaged.join("1.0.0.json"), "{}").unwrap();
    let app = app.stop().await.start().await;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    app.as_token(&token).push(&bundle).await.unwrap();
    let broken = Bundle::simple("broken", "1.0.0", &Plugin::SIMPLE.compile());
    let refusal = app.as_token(&token).push(&broken).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Internal);
}

#[tokio::test]
async fn abort_drops_the_upload_and_its_bytes() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let before = app.rows().await;
    let bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let upload = acme.begin(&bundle).await.unwrap().upload_id;
    acme.send(&upload, "hooks.so", 0, &bundle.bytes_of("hooks.so")[..100])
        .await
        .unwrap();
    assert_eq!(app.objects().len(), 1);
    acme.publish()
        .abort_upload(v1::AbortUploadRequest { upload_id: upload })
        .await
        .unwrap();
    assert_eq!((app.objects(), app.rows().await), (vec![], before));
}

#[tokio::test]
async fn declarations_that_contradict_the_manifest_or_the_limits_are_refused_before_a_byte() {
    let limits = Limits {
        file_bytes_max: 100,
        uploads_open_max: 1,
        ..Limits::default()
    };
    let app = TestApp::start_with(limits).await;
    let acme = app.tenant("acme").await;
    let good = Bundle::simple("hooks", "1.0.0", &[0; 100]);
    let mut missing = good.clone();
    missing.files.clear();
    let mut unknown = good.clone();
    unknown.files.push(("more.so".into(), vec![1]));
    for (bundle, code) in [
        (Bundle::simple("hooks", "1.0.0", &[0; 101]), "FILE_SIZE"),
        (Bundle::simple("hooks", "1.0.0", &[]), "FILE_SIZE"),
        (missing, "FILE_MISSING"),
        (Bundle::simple("Hooks!", "1.0.0", &[0]), "FIELD_INVALID"),
    ] {
        assert_eq!(reason(&acme.begin(&bundle).await.unwrap_err()), code);
    }
    assert!(acme.begin(&unknown).await.is_err());
    acme.begin(&good).await.unwrap();
    let refusal = acme
        .begin(&Bundle::simple("hooks", "2.0.0", &[0; 100]))
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::ResourceExhausted, "UPLOADS_TOO_MANY")
    );
}

#[tokio::test]
async fn plain_and_versioned_build_of_one_library_are_accepted_with_a_warning() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let plain = Plugin::SIMPLE.compile();
    let versioned = Plugin {
        gateway_version: Some("5.3.0"),
        ..Plugin::SIMPLE
    }
    .compile();
    let files = [
        ("hooks.so", plain.as_slice()),
        ("hooks_v5.3.0_linux_amd64.so", &versioned),
    ];
    let hooks = r#""pre":[{"name":"Add","path":"hooks.so"}]"#;
    let published = acme
        .push(&Bundle::new("hooks", "1.0.0", hooks, &files))
        .await
        .unwrap();
    assert_eq!(codes(&published.warnings), ["VERSIONED_SHADOWED"]);
}

#[tokio::test]
async fn md5_checksum_is_verified_where_the_manifest_has_one() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let mut bundle = Bundle::simple("hooks", "1.0.0", &Plugin::SIMPLE.compile());
    let good = bundle.manifest.clone();
    let wrong = format!(r#"{{"checksum":"{}","#, "0".repeat(32));
    bundle.manifest = good.replacen('{', &wrong, 1);
    let refusal = acme.push(&bundle).await.unwrap_err();
    assert_eq!(
        (reason(&refusal).as_str(), fields(&refusal)),
        ("CHECKSUM_MISMATCH", vec!["checksum".to_owned()])
    );
    assert_eq!(app.objects(), [""; 0]);
    let mut sum = gantry_bundle::hash::Md5Sum::new();
    sum.update(bundle.bytes_of("hooks.so"));
    let right = format!(r#"{{"checksum":"{}","#, sum.finish());
    bundle.manifest = good.replacen('{', &right, 1);
    acme.push(&bundle).await.unwrap();
}

#[tokio::test]
async fn manifest_that_says_inline_of_a_library_that_was_built_otherwise_is_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let library = Plugin::SIMPLE.compile();
    let bundle = |version: &str, inline: &str| {
        let hooks = format!(r#""pre":[{{"name":"Add","path":"hooks.so","inline":{inline}}}]"#);
        Bundle::new("hooks", version, &hooks, &[("hooks.so", &library)])
    };
    for inline in ["false", r#""body""#] {
        let refusal = acme.push(&bundle("1.0.0", inline)).await.unwrap_err();
        assert_eq!(
            (reason(&refusal), fields(&refusal)),
            (
                "INLINE_DIFFERS".to_owned(),
                vec!["custom_middleware.pre[0].inline".to_owned()]
            )
        );
        assert!(
            refusal.message().contains("gantry build --manifest"),
            "{refusal}"
        );
    }
    let refusal = acme.push(&bundle("1.0.0", "1")).await.unwrap_err();
    assert_eq!(reason(&refusal), "FIELD_INVALID");
    // It has no flag that lets it wait, so it runs in the call.
    acme.push(&bundle("1.0.0", "true")).await.unwrap();
}
