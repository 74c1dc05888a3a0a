//! Kafka through rdkafka: consume, publish, administer. The only crate that imports rdkafka.
