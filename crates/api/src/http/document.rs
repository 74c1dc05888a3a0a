//! The OpenAPI 3.1 document, made of the list of endpoints and of the types that they take and answer.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, endpoints};
use super::operation::{Answer, Operation};
use super::origin::{CORRELATION_ID, MAX_CORRELATION_ID};
use super::problem::{Kind, MEDIA_TYPE, Problem};

/// What every bounded request may be told.
const ALWAYS: [Kind; 4] = [
    Kind::Timeout,
    Kind::Overloaded,
    Kind::Unavailable,
    Kind::Internal,
];

/// The document, as `/openapi.json` serves it.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in endpoints() {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let operation = describe(&endpoint, &mut generator);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Longshore orders",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Users and orders. What is changed here is published as events; what is answered of orders \
                is what their events have told so far.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
        },
    })
}

fn describe(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let operation = &endpoint.operation;
    let mut described = json!({
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": parameters(operation),
        "responses": answers(endpoint, generator),
    });
    if let Some(schema) = operation.body {
        described["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": schema(generator)}},
        });
    }
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let mut parameters = operation.parameters.clone();
    parameters.push(json!({
        "name": CORRELATION_ID, "in": "header", "required": false,
        "description": format!("Shared by all events that follow. One is made if it is missing, or is not 1 to \
            {MAX_CORRELATION_ID} visible ASCII characters"),
        "schema": {"type": "string"},
    }));
    parameters
}

fn answers(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let headers = json!({CORRELATION_ID: {
        "description": "The request's correlation id", "required": true, "schema": {"type": "string"},
    }});
    let mut answers = Map::new();
    for answer in &endpoint.operation.answers {
        let mut described = json!({"description": answer.description, "headers": headers});
        if let Some((media_type, schema)) = answer.content {
            described["content"] = json!({media_type: {"schema": schema(generator)}});
        }
        if !answer.links.is_empty() {
            described["links"] = links(answer);
        }
        answers.insert(answer.status.as_str().to_owned(), described);
    }
    for (status, titles) in problems(endpoint) {
        let schema = generator.subschema_for::<Problem>();
        let problem = json!({MEDIA_TYPE: {"schema": schema}});
        let described = answers
            .entry(status)
            .or_insert_with(|| json!({"headers": headers}));
        if described.get("description").is_none() {
            described["description"] = titles.join("; ").into();
        }
        match described.get_mut("content") {
            Some(content) => content[MEDIA_TYPE] = problem[MEDIA_TYPE].clone(),
            None => described["content"] = problem,
        }
    }
    answers.into()
}

/// What can be done next with what was answered.
fn links(answer: &Answer) -> Value {
    let mut links = Map::new();
    for (operation, parameter) in answer.links {
        let pointer = format!("$response.body#/{parameter}");
        let link = json!({"operationId": operation, "parameters": {*parameter: pointer}});
        links.insert((*operation).to_owned(), link);
    }
    links.into()
}

/// The statuses of the problems, each with what it may mean.
fn problems(endpoint: &Endpoint) -> BTreeMap<String, Vec<&'static str>> {
    let always: &[Kind] = match endpoint.is_bounded {
        true => &ALWAYS,
        false => &[],
    };
    let mut problems: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    let kinds = endpoint.operation.problems.iter().chain(always);
    for kind in kinds {
        let status = kind.status().as_str().to_owned();
        problems.entry(status).or_default().push(kind.title());
    }
    problems
}
