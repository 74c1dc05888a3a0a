//! Values against a JSON Schema, and the key in them.

use std::fs;

use longshore_topics::{Schema, SchemaError, key_of};
use serde_json::json;

fn orders() -> Schema {
    Schema::compile(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["orderId", "items"],
        "properties": {
            "orderId": {"type": "string", "minLength": 1},
            "createdAt": {"type": "string", "format": "date-time"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}}
        },
        "$defs": {"Item": {"type": "object", "properties": {"quantity": {"type": "integer", "minimum": 1}}}}
    }))
    .expect("a schema")
}

#[test]
fn a_good_value_passes_and_unknown_fields_do_not_matter() {
    let value = json!({"orderId": "o-1", "items": [{"quantity": 1}], "createdAt": "2026-11-23T08:00:00Z", "x": 1});
    assert_eq!(orders().validate(&value), Ok(()));
}

#[test]
fn every_violation_says_where_it_is() {
    let value = json!({"orderId": "", "items": [{"quantity": 1}, {"quantity": 0}], "createdAt": "yesterday"});

    let violations = orders().validate(&value).unwrap_err();

    let mut paths: Vec<_> = violations
        .iter()
        .map(|violation| violation.path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/createdAt", "/items/1/quantity", "/orderId"]);
}

#[test]
fn a_missing_field_and_another_kind_of_value_are_told() {
    let missing = orders().validate(&json!({"items": []})).unwrap_err();
    assert!(missing[0].to_string().contains("orderId"), "{missing:?}");
    let number = orders().validate(&json!(7)).unwrap_err();
    assert!(
        number[0].to_string().starts_with("7 is not of type"),
        "{number:?}"
    );
}

#[test]
fn a_message_never_quotes_a_large_value_whole() {
    let value = json!({"orderId": vec![1; 10_000], "items": []});
    let violations = orders().validate(&value).unwrap_err();
    assert!(
        violations[0].message.len() < 1000,
        "{}",
        violations[0].message.len()
    );
}

#[test]
fn the_key_is_the_text_of_its_field() {
    let value = json!({"orderId": "o-1", "number": 7, "order": {"id": "x"}, "a.b": "dotted", "none": null, "empty": ""});
    for (field, key) in [
        ("orderId", "o-1"),
        ("number", "7"),
        ("order.id", "x"),
        ("a.b", "dotted"),
    ] {
        assert_eq!(key_of(&value, field).unwrap(), key);
    }
    for (field, reason) in [
        ("none", "null"),
        ("order", "object"),
        ("nope", "missing"),
        ("empty", "empty"),
    ] {
        let error = key_of(&value, field).unwrap_err().to_string();
        assert!(error.contains(field) && error.contains(reason), "{error}");
    }
}

#[test]
fn a_file_that_is_no_schema_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.json");
    assert!(matches!(Schema::load(&file), Err(SchemaError::Read { .. })));
    fs::write(&file, "{").unwrap();
    assert!(matches!(Schema::load(&file), Err(SchemaError::Json { .. })));
    fs::write(&file, r#"{"type": "strnig"}"#).unwrap();
    assert!(matches!(
        Schema::load(&file),
        Err(SchemaError::Invalid { .. })
    ));
    fs::write(&file, r#"{"$ref": "https://example.com/schema.json"}"#).unwrap();
    assert!(matches!(
        Schema::load(&file),
        Err(SchemaError::Invalid { .. })
    ));
}
