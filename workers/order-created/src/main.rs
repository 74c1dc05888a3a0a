//! The worker of `order.created`.

fn main() {}
