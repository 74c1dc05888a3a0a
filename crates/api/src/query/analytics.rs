//! The queries that the analytics worker answers.

use longshore_orders::analytics::{AnalyticsFunnel, AnalyticsHours, AnalyticsSummary, Window};

use super::Queries;
use crate::{AnalyticsError, Answers, Query};

/// Counts, money and times of a window together.
#[derive(Clone, Copy, Debug)]
pub struct GetAnalyticsSummary(pub Window);

/// Counts and money of each hour of a window, the latest hour first.
#[derive(Clone, Copy, Debug)]
pub struct GetAnalyticsHours(pub Window);

/// How many orders came how far in a window.
#[derive(Clone, Copy, Debug)]
pub struct GetAnalyticsFunnel(pub Window);

impl Query for GetAnalyticsSummary {
    type Output = AnalyticsSummary;
    type Error = AnalyticsError;

    const NAME: &'static str = "get-analytics-summary";
}

impl Answers<GetAnalyticsSummary> for Queries {
    async fn answer(&self, query: GetAnalyticsSummary) -> Result<AnalyticsSummary, AnalyticsError> {
        self.analytics.ask("summary", query.0).await
    }
}

impl Query for GetAnalyticsHours {
    type Output = AnalyticsHours;
    type Error = AnalyticsError;

    const NAME: &'static str = "get-analytics-hours";
}

impl Answers<GetAnalyticsHours> for Queries {
    async fn answer(&self, query: GetAnalyticsHours) -> Result<AnalyticsHours, AnalyticsError> {
        self.analytics.ask("hours", query.0).await
    }
}

impl Query for GetAnalyticsFunnel {
    type Output = AnalyticsFunnel;
    type Error = AnalyticsError;

    const NAME: &'static str = "get-analytics-funnel";
}

impl Answers<GetAnalyticsFunnel> for Queries {
    async fn answer(&self, query: GetAnalyticsFunnel) -> Result<AnalyticsFunnel, AnalyticsError> {
        self.analytics.ask("funnel", query.0).await
    }
}
