//! The queries, with who answers them.

mod page;
pub use page::{Page, Slice};

mod analytics;
pub use analytics::{GetAnalyticsFunnel, GetAnalyticsHours, GetAnalyticsSummary};

use std::sync::Arc;

use longshore_orders::Role;

use crate::{
    AnalyticsWorker, Answers, Fault, Metrics, Order, OrderStatus, OrderTable, OrderView, Query,
    TimelineEntry, User, UserCache, UserTable,
};

/// A user; `None` if there is none.
#[derive(Clone, Debug)]
pub struct GetUser {
    /// The user.
    pub user_id: String,
}

/// Users, the latest first.
#[derive(Clone, Copy, Debug)]
pub struct ListUsers {
    /// Which of them.
    pub slice: Slice,
    /// Those of this role only.
    pub role: Option<Role>,
}

/// An order; `None` if nothing is known of it.
#[derive(Clone, Debug)]
pub struct GetOrder {
    /// The order.
    pub order_id: String,
}

/// Orders, the latest first, as far as the projection has heard of them.
#[derive(Clone, Debug)]
pub struct ListOrders {
    /// Which of them.
    pub slice: Slice,
    /// Those of this user only.
    pub user_id: Option<String>,
    /// Those that have come this far and no further.
    pub status: Option<OrderStatus>,
}

/// What happened to an order; `None` if nothing is known of it.
#[derive(Clone, Debug)]
pub struct GetTimeline {
    /// The order.
    pub order_id: String,
}

/// What answers queries.
#[derive(Debug)]
pub struct Queries {
    /// The users, where they are made: a replica could answer what the cache must no longer keep.
    pub users: UserTable,
    /// Users in memory.
    pub cache: Arc<UserCache>,
    /// Orders of which the projection may not have heard yet.
    pub orders: OrderTable,
    /// The projection, perhaps on a replica.
    pub view: OrderView,
    /// Who counts orders and revenue.
    pub analytics: AnalyticsWorker,
    /// What is counted.
    pub metrics: Metrics,
}

impl Query for GetUser {
    type Output = Option<User>;
    type Error = Fault;

    const NAME: &'static str = "get-user";
}

impl Answers<GetUser> for Queries {
    async fn answer(&self, query: GetUser) -> Result<Option<User>, Fault> {
        let cached = self.cache.get(&query.user_id);
        self.metrics.cache(cached.is_some());
        if cached.is_some() {
            return Ok(cached);
        }
        let epoch = self.cache.epoch();
        let found = self.users.find(&query.user_id).await?;
        if let Some(user) = &found {
            self.cache.put(user.clone(), epoch);
        }
        Ok(found)
    }
}

impl Query for ListUsers {
    type Output = Page<User>;
    type Error = Fault;

    const NAME: &'static str = "list-users";
}

impl Answers<ListUsers> for Queries {
    async fn answer(&self, query: ListUsers) -> Result<Page<User>, Fault> {
        Ok(self.users.list(&query).await?)
    }
}

impl Query for GetOrder {
    type Output = Option<Order>;
    type Error = Fault;

    const NAME: &'static str = "get-order";
}

impl Answers<GetOrder> for Queries {
    async fn answer(&self, query: GetOrder) -> Result<Option<Order>, Fault> {
        if let Some(order) = self.view.find(&query.order_id).await? {
            return Ok(Some(order));
        }
        Ok(self.orders.find(&query.order_id).await?.map(Order::from))
    }
}

impl Query for ListOrders {
    type Output = Page<Order>;
    type Error = Fault;

    const NAME: &'static str = "list-orders";
}

impl Answers<ListOrders> for Queries {
    async fn answer(&self, query: ListOrders) -> Result<Page<Order>, Fault> {
        Ok(self.view.list(&query).await?)
    }
}

impl Query for GetTimeline {
    type Output = Option<Vec<TimelineEntry>>;
    type Error = Fault;

    const NAME: &'static str = "get-timeline";
}

impl Answers<GetTimeline> for Queries {
    async fn answer(&self, query: GetTimeline) -> Result<Option<Vec<TimelineEntry>>, Fault> {
        let entries = self.view.timeline(&query.order_id).await?;
        if entries.is_empty() && self.orders.find(&query.order_id).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(entries))
    }
}
