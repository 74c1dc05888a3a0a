# One small image with every binary: the `longshore` command line and the workers, chosen by the command that is run.
FROM rust:1-bookworm AS build
WORKDIR /longshore
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY workers workers
COPY tests tests
COPY topics topics
# The caches outlive the layer: a change of one file rebuilds what depends on it, not the vendored C libraries.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/longshore/target \
    cargo build --release --locked --package longshore-cli \
      --package order-created --package order-paid --package order-shipped \
      --package order-expiry --package analytics --package notifications --package order-view \
      --package jobs --package api \
 && install -D -t /out target/release/longshore target/release/order-created \
      target/release/order-paid target/release/order-shipped target/release/order-expiry \
      target/release/analytics target/release/notifications target/release/order-view \
      target/release/jobs target/release/api

FROM debian:bookworm-slim
# Root certificates for brokers and databases behind TLS; taken from the build stage, so that this one needs no network.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/ /usr/local/bin/
COPY topics /usr/share/longshore/topics

ENV LONGSHORE_TOPICS_DIR=/usr/share/longshore/topics
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
# The binaries handle signals as process 1: SIGTERM drains.
STOPSIGNAL SIGTERM
CMD ["longshore", "--help"]
