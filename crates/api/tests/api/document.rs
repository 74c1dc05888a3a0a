//! The OpenAPI document: valid where it refers to itself, and true of the router.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use longshore_api::http::document;
use serde_json::Value;

use crate::support::Fixture;

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item");
        item.iter()
            .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
    });
    operations.collect()
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_documented_operation_is_served_and_no_other_method_is() {
    let api = Fixture::start().await;
    let document = document();
    let operations = operations(&document);
    assert!(operations.len() >= 14, "{}", operations.len());
    for (_, path, _) in &operations {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let documented = operations
                .iter()
                .any(|(served, of, _)| served == method && of == path);
            let uri = path.replace("{userId}", "u-1").replace("{orderId}", "o-1");
            let request = Request::builder()
                .method(method)
                .uri(uri)
                .body(Body::empty());
            let answer = api.send(request.expect("a request")).await;
            let served = answer.status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(served, documented, "{method} {path}");
        }
    }
}

#[test]
fn every_operation_says_what_it_answers_and_what_may_go_wrong() {
    for (method, path, operation) in operations(&document()) {
        let answers = operation["responses"].as_object().expect("answers");
        assert!(
            answers.keys().any(|status| status.starts_with('2')),
            "{method} {path}"
        );
        assert!(operation["operationId"].is_string() && operation["summary"].is_string());
        if operation["tags"][0] != "upkeep" {
            assert!(
                answers.contains_key("503") && answers.contains_key("500"),
                "{method} {path}"
            );
        }
        if path.contains('{') {
            assert!(answers.contains_key("404"), "{method} {path}");
        }
        for (status, answer) in answers {
            assert!(
                answer["description"].is_string(),
                "{method} {path} {status}"
            );
        }
    }
}

#[tokio::test]
async fn the_document_is_served() {
    let api = Fixture::start().await;
    let served = api.get("/openapi.json").await;
    assert_eq!(served.body, document());
    assert_eq!(served.body["openapi"], "3.1.0");
}
