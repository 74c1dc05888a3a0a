//! Records as people and programs read them.

mod filter;
mod json;
mod text;

pub(crate) use filter::{FILTER_GRAMMAR, Filter};
pub(crate) use json::{write_json, write_json_with};
pub(crate) use text::{printable, printable_bytes, write_text};
