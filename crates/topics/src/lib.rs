//! Declarative topics: specification, plan, apply; JSON Schemas.
