//! An endpoint: a method and a path, who serves it, and what is documented of it. Router and document are made of the same
//! list, so neither has what the other lacks.

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::operation::Operation;
use super::{Server, analytics, orders, upkeep, users};

pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    pub(super) route: MethodRouter<Arc<Server>>,
    /// Whether it waits for its turn. Health checks do not: they are asked for when there is too much to do.
    pub(super) is_bounded: bool,
}

impl Endpoint {
    pub(super) fn get<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Arc<Server>>,
        operation: Operation,
    ) -> Self {
        Self::new(Method::GET, on(MethodFilter::GET, handler), path, operation)
    }

    pub(super) fn post<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Arc<Server>>,
        operation: Operation,
    ) -> Self {
        Self::new(
            Method::POST,
            on(MethodFilter::POST, handler),
            path,
            operation,
        )
    }

    pub(super) fn patch<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Arc<Server>>,
        operation: Operation,
    ) -> Self {
        Self::new(
            Method::PATCH,
            on(MethodFilter::PATCH, handler),
            path,
            operation,
        )
    }

    pub(super) fn delete<T: 'static>(
        path: &'static str,
        handler: impl Handler<T, Arc<Server>>,
        operation: Operation,
    ) -> Self {
        Self::new(
            Method::DELETE,
            on(MethodFilter::DELETE, handler),
            path,
            operation,
        )
    }

    pub(super) fn unbounded(self) -> Self {
        Self {
            is_bounded: false,
            ..self
        }
    }

    fn new(
        method: Method,
        route: MethodRouter<Arc<Server>>,
        path: &'static str,
        operation: Operation,
    ) -> Self {
        Self {
            method,
            path,
            operation,
            route,
            is_bounded: true,
        }
    }
}

/// All of them.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = users::endpoints();
    endpoints.extend(orders::endpoints());
    endpoints.extend(analytics::endpoints());
    endpoints.extend(upkeep::endpoints());
    endpoints
}
