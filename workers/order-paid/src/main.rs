//! The worker of `order.paid`.

fn main() {}
