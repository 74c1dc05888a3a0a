//! Lists, page by page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Counted from 1.
    pub page: i64,
    /// Items on a page.
    pub limit: i64,
}

impl Slice {
    /// Items of a page at most.
    pub const MAX_LIMIT: i64 = 100;
    /// Pages at most: the database reads past all that come before.
    pub const MAX_PAGE: i64 = 100_000;
    /// Items of a page unless asked otherwise.
    pub const DEFAULT_LIMIT: i64 = 20;

    /// Items before the page.
    pub(crate) fn offset(self) -> i64 {
        (self.page - 1) * self.limit
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Which page it is, from 1.
    pub page: i64,
    /// Items on a page at most.
    pub limit: i64,
    /// Items in the whole list.
    pub total: i64,
}
