//! Tenants, environments and tokens.

use gantry_domain::Limits;
use gantry_proto::v1;
use tonic::Code;

use crate::support::{TestApp, fields, reason};

#[tokio::test]
async fn who_am_i_tells_tenant_rights_and_environment() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let gateway = acme.token(&[v1::Right::Gateway]).await;
    let who = app
        .as_token(&gateway.secret)
        .admin()
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    let token = who.token.unwrap();
    assert_eq!(
        (who.tenant.as_str(), token.environment.as_str()),
        ("acme", "prod")
    );
    assert_eq!(token.rights, [i32::from(v1::Right::Gateway)]);
}

#[tokio::test]
async fn secret_of_a_token_is_stored_nowhere() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let secret = acme.token(&[v1::Right::Publish]).await.secret;
    let secret = secret.rsplit('_').next().unwrap();
    let stored = std::fs::read(app.objects_dir().with_file_name("metadata.db")).unwrap();
    let log =
        std::fs::read(app.objects_dir().with_file_name("metadata.db-wal")).unwrap_or_default();
    for bytes in [stored, log] {
        assert!(!String::from_utf8_lossy(&bytes).contains(secret));
    }
}

#[tokio::test]
async fn rights_that_do_not_go_together_are_refused() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for (rights, environment, field) in [
        (vec![], "", "rights"),
        (vec![v1::Right::Gateway, v1::Right::Admin], "prod", "rights"),
        (vec![v1::Right::Gateway], "", "environment"),
        (vec![v1::Right::Deploy], "prod", "environment"),
        (vec![v1::Right::Unspecified], "", "rights"),
    ] {
        let request = v1::CreateTokenRequest {
            rights: rights.into_iter().map(i32::from).collect(),
            environment: environment.into(),
            description: String::new(),
        };
        let refusal = acme.admin().create_token(request).await.unwrap_err();
        assert_eq!(
            (refusal.code(), fields(&refusal)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
}

#[tokio::test]
async fn tenant_and_environment_names_are_taken_once_and_environments_are_bounded() {
    let limits = Limits {
        environments_max: 2,
        ..Limits::default()
    };
    let app = TestApp::start_with(limits).await;
    let acme = app.tenant("acme").await;
    let again = v1::CreateTenantRequest {
        name: "acme".into(),
    };
    let refusal = app
        .as_token(&app.operator)
        .admin()
        .create_tenant(again)
        .await
        .unwrap_err();
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::AlreadyExists, "TENANT_EXISTS")
    );
    let create = |name: &str| v1::CreateEnvironmentRequest {
        name: name.into(),
        lookup: "versioned_first".into(),
    };
    let refusal = acme
        .admin()
        .create_environment(create("prod"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refusal), "ENVIRONMENT_EXISTS");
    let made = acme
        .admin()
        .create_environment(create("staging"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.environment.unwrap().lookup, "versioned_first");
    let refusal = acme
        .admin()
        .create_environment(create("third"))
        .await
        .unwrap_err();
    assert_eq!(reason(&refusal), "ENVIRONMENTS_TOO_MANY");
}

#[tokio::test]
async fn listing_goes_page_by_page_and_ends() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    for _ in 0..4 {
        acme.token(&[v1::Right::Publish]).await;
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListTokensRequest {
            page_size: 2,
            page_token,
        };
        let page = acme
            .admin()
            .list_tokens(request)
            .await
            .unwrap()
            .into_inner();
        assert!(page.tokens.len() <= 2);
        seen.extend(page.tokens.into_iter().map(|token| token.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((seen.len(), &sorted), (5, &seen));
}

#[tokio::test]
async fn changes_are_kept_with_who_made_them_and_without_secrets() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let token = acme.token(&[v1::Right::Publish]).await;
    let id = token.token.unwrap().id;
    let revoke = v1::RevokeTokenRequest { id: id.clone() };
    acme.admin().revoke_token(revoke.clone()).await.unwrap();
    // Revoking again changes nothing and is not noted.
    acme.admin().revoke_token(revoke).await.unwrap();
    let store = app.metadata().await;
    let audit = store.audit(&"acme".parse().unwrap(), 10).await.unwrap();
    let actions: Vec<_> = audit.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        ["token.revoke", "token.create", "environment.create"]
    );
    assert_eq!(audit[0].subject, id);
    assert!(!audit[0].token.is_empty());
    let operators = store.audit(&"gantry".parse().unwrap(), 1).await.unwrap();
    assert_eq!(
        (operators[0].action.as_str(), operators[0].subject.as_str()),
        ("tenant.create", "acme")
    );
}

#[tokio::test]
async fn token_that_revokes_itself_gets_its_answer_and_nothing_after_it() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let admin = acme.token(&[v1::Right::Admin]).await;
    let own = app.as_token(&admin.secret);
    let id = admin.token.unwrap().id;
    let revoked = own
        .admin()
        .revoke_token(v1::RevokeTokenRequest { id })
        .await;
    assert!(revoked.unwrap().into_inner().token.unwrap().revoked_at_ms > 0);
    let refusal = own
        .admin()
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .unwrap_err();
    assert_eq!(reason(&refusal), "TOKEN_REVOKED");
}
