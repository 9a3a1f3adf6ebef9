//! `OpenAPI` documents of API definitions.

use gantry_domain::Digest;
use gantry_proto::v1;
use serde_json::{Value, json};
use tokio_stream::iter;
use tonic::{Code, Status};

use crate::apis::api;
use crate::support::{Caller, TestApp, fields, reason};
use crate::sync::fleet;

pub(crate) fn with_openapi(openapi: &Value) -> String {
    api("orders", "/orders", &json!({"openapi": openapi}))
}

/// A document by digest, as a gateway gets it, with the sizes of its parts.
pub(crate) async fn fetch(gateway: &Caller, digest: &str) -> Result<(Vec<u8>, Vec<usize>), Status> {
    let request = v1::GetDocumentsRequest {
        digests: vec![digest.to_owned()],
    };
    let mut stream = gateway.sync().get_documents(request).await?.into_inner();
    let (mut whole, mut sizes, mut more) = (Vec::new(), Vec::new(), true);
    while let Some(part) = stream.message().await? {
        assert!(more && part.digest == digest);
        more = part.more;
        sizes.push(part.body.len());
        whole.extend_from_slice(&part.body);
    }
    assert!(!more);
    Ok((whole, sizes))
}

pub(crate) async fn put_openapi(who: &Caller, document: &[u8]) -> Result<String, Status> {
    let parts = document.chunks(1 << 20).map(|part| v1::PutOpenApiRequest {
        part: part.to_vec(),
    });
    let parts: Vec<_> = parts.collect();
    let answer = who.apis().put_open_api(iter(parts)).await?;
    Ok(answer.into_inner().digest)
}

fn digest_in(definition: &[u8]) -> String {
    let definition: Value = serde_json::from_slice(definition).unwrap();
    definition["openapi"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn document_is_kept_beside_the_definition_which_can_be_put_again_without_it() {
    let app = TestApp::start().await;
    let (acme, gateway) = fleet(&app).await;
    let document = json!({"openapi": "3.0.3", "paths": {}, "x-own": {"b": 1, "a": 2}});
    let put = acme.put_api(&with_openapi(&document)).await.unwrap();
    let digest = digest_in(&put.definition);
    assert!(!String::from_utf8_lossy(&put.definition).contains("x-own"));
    let (body, _) = fetch(&gateway, &digest).await.unwrap();
    assert_eq!(Digest::of(&body).to_string(), digest);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), document);
    let again = acme
        .put_api(std::str::from_utf8(&put.definition).unwrap())
        .await
        .unwrap();
    assert_eq!((again.digest, again.revision), (put.digest, put.revision));
}

#[tokio::test]
async fn document_that_exceeds_a_message_comes_and_goes_in_parts() {
    let app = TestApp::start().await;
    let (acme, gateway) = fleet(&app).await;
    let large = json!({"openapi": "3.1.0", "x": "y".repeat(3 << 20)}).to_string();
    let digest = put_openapi(&acme, large.as_bytes()).await.unwrap();
    acme.put_api(&with_openapi(&json!(digest))).await.unwrap();
    let (body, sizes) = fetch(&gateway, &digest).await.unwrap();
    assert_eq!(body, large.as_bytes());
    assert!(sizes.len() == 4 && sizes.iter().all(|size| *size <= 1 << 20));
    let rows = app.rows().await;
    let larger = json!({"openapi": "3.1.0", "x": "y".repeat(5 << 20)}).to_string();
    for (document, path, code) in [
        (larger.as_str(), "openapi", "DOCUMENT_TOO_LARGE"),
        ("{", "openapi", "JSON_MALFORMED"),
        ("{}", "openapi.openapi", "FIELD_MISSING"),
    ] {
        let refusal = put_openapi(&acme, document.as_bytes()).await.unwrap_err();
        let found = (refusal.code(), fields(&refusal), reason(&refusal));
        let expected = (
            Code::InvalidArgument,
            vec![path.to_owned()],
            code.to_owned(),
        );
        assert_eq!(found, expected);
    }
    assert_eq!(app.rows().await, rows);
}

#[tokio::test]
async fn definition_that_is_only_checked_leaves_no_document() {
    let app = TestApp::start().await;
    let acme = app.tenant("acme").await;
    let rows = app.rows().await;
    let request = v1::PutApiRequest {
        environment: "prod".into(),
        definition: with_openapi(&json!({"openapi": "3.1.0"})).into_bytes(),
        validate_only: true,
        ..Default::default()
    };
    acme.apis().put_api(request).await.unwrap();
    assert_eq!(app.rows().await, rows);
}

#[tokio::test]
async fn document_of_another_tenant_can_be_neither_named_nor_read() {
    let app = TestApp::start().await;
    let (acme, _) = fleet(&app).await;
    let digest = put_openapi(&acme, br#"{"openapi": "3.1.0"}"#)
        .await
        .unwrap();
    let other = app.tenant("other").await;
    let named = with_openapi(&json!(digest));
    let refusal = other.put_api(&named).await.unwrap_err();
    assert_eq!(
        (reason(&refusal), fields(&refusal)),
        ("OPENAPI_UNKNOWN".to_owned(), vec!["openapi".to_owned()])
    );
    let token = other.token(&[v1::Right::Gateway]).await;
    let refusal = fetch(&app.as_token(&token.secret), &digest).await;
    assert_eq!(reason(&refusal.unwrap_err()), "DOCUMENT_NOT_FOUND");
    acme.put_api(&named).await.unwrap();
}
