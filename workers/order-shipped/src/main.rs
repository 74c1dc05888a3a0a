//! The worker of `order.shipped`.

fn main() {}
