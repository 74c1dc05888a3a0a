//! Calls to services say which message they are for: the handler's run is the scope of its cause.

use jiff::Timestamp;
use longshore_event::Envelope;
use longshore_services::CallContext;
use longshore_worker::{Context, Failure, Handler, Statement};

/// A handler whose calls to services carry correlation id and trace of the message that is being handled.
#[derive(Debug)]
pub struct Correlated<H>(pub(crate) H);

impl<H: Handler> Handler for Correlated<H> {
    type Payload = H::Payload;

    const NAME: &'static str = H::NAME;

    async fn handle(
        &self,
        message: &Envelope<Self::Payload>,
        context: &mut Context<'_, Self::Payload>,
    ) -> Result<(), Failure> {
        let cause = CallContext {
            correlation_id: message.correlation_id().to_owned(),
            trace_parent: message.trace_parent().map(|parent| parent.to_string()),
        };
        cause.scope(self.0.handle(message, context)).await
    }

    fn given_up(
        &self,
        message: &Envelope<H::Payload>,
        failure: &Failure,
        now: Timestamp,
    ) -> Vec<Statement> {
        self.0.given_up(message, failure, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::handle;
    use longshore_event::{Event, Headers, Limits, Offset, Record, TopicPartition};
    use longshore_worker::sql;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Ping;

    impl Event for Ping {
        const TYPE: &'static str = "ping";

        fn key(&self) -> &str {
            "p"
        }
    }

    struct Asks;

    impl Handler for Asks {
        type Payload = Ping;
        const NAME: &'static str = "asks";

        async fn handle(
            &self,
            message: &Envelope<Ping>,
            _: &mut Context<'_, Ping>,
        ) -> Result<(), Failure> {
            tokio::task::yield_now().await;
            let cause = CallContext::current().expect("a cause");
            assert_eq!(cause.correlation_id, message.correlation_id());
            Ok(())
        }

        fn given_up(&self, _: &Envelope<Ping>, _: &Failure, _: Timestamp) -> Vec<Statement> {
            vec![sql("given up")]
        }
    }

    #[tokio::test]
    async fn the_message_is_the_cause_of_calls_while_it_is_handled() {
        handle(&Correlated(Asks), &Ping).await.expect("handled");
        assert_eq!(CallContext::current(), None);
    }

    #[test]
    fn what_the_handler_writes_with_a_dead_letter_is_written() {
        let record = Record {
            partition: TopicPartition::new(Ping::TOPIC, 0),
            offset: Offset(0),
            timestamp: None,
            key: None,
            value: Some("null".into()),
            headers: Headers::new(),
        };
        let message = Envelope::decode(record, &Limits::default()).expect("a ping");
        let failure = Failure::permanent("for good");
        let written = Correlated(Asks).given_up(&message, &failure, crate::testing::now());
        assert_eq!(written, [sql("given up")]);
    }
}
