//! Words to users, handed to the notification service.

use longshore_services::Endpoint;

use super::wire::NoticeRequest;
use super::{Done, failed};
use crate::{Notice, Notifier, ServiceError};

/// [`Notifier`] over HTTP.
#[derive(Clone, Debug)]
pub struct RemoteNotifier(pub Endpoint);

impl Notifier for RemoteNotifier {
    async fn notify(&self, key: &str, notice: &Notice<'_>) -> Result<(), ServiceError> {
        let request = NoticeRequest {
            order_id: notice.order_id.into(),
            user_id: notice.user_id.into(),
            kind: notice.kind,
        };
        let answer = self.0.post::<Done>(&["notices"], key, &request).await;
        answer.map_err(|error| failed("the notification service", error))?;
        Ok(())
    }
}
