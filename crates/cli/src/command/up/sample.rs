//! Sample orders: mostly ordinary, with a few of everything that can happen to an order.

use jiff::Timestamp;
use longshore_orders::{Currency, Item, Money, OrderCreated, sandbox};

/// What a shop sells: SKU and price in cents.
const CATALOGUE: [(&str, i64); 6] = [
    ("CD-12", 1_466),
    ("LP-33", 2_990),
    ("MC-60", 795),
    ("BOOK-7", 1_850),
    ("POSTER-2", 1_200),
    ("GIFT-0", 0),
];

/// The `number`-th order of a run, with the id `id`.
pub(super) fn order(id: String, number: usize, now: Timestamp) -> OrderCreated {
    let mut items = vec![item(number)];
    if number.is_multiple_of(3) {
        items.push(item(number / 3 + 1));
    }
    if let Some(sku) = special(number) {
        items.push(Item {
            sku: sku.to_owned(),
            quantity: 1,
            unit_price: Money::new(999, Currency::USD),
        });
    }
    OrderCreated {
        order_id: id,
        user_id: format!("u-{}", number % 40),
        items,
        created_at: Some(now),
    }
}

/// In every hundred: four sold out, four declined, four flaky, two slow, one poisonous.
fn special(number: usize) -> Option<&'static str> {
    match (number % 25, number % 50, number % 100) {
        (7, _, _) => Some(sandbox::SOLD_OUT),
        (13, _, _) => Some(sandbox::DECLINED),
        (19, _, _) => Some(sandbox::FLAKY),
        (_, 31, _) => Some(sandbox::SLOW),
        (_, _, 42) => Some(sandbox::POISON),
        _ => None,
    }
}

fn item(number: usize) -> Item {
    let (sku, price) = CATALOGUE[number % CATALOGUE.len()];
    Item {
        sku: sku.to_owned(),
        quantity: 1 + (number % 4) as u32,
        unit_price: Money::new(price, Currency::USD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::Event;

    #[test]
    fn a_hundred_orders_are_valid_and_hold_everything_that_can_happen() {
        let orders: Vec<_> = (0..100)
            .map(|number| order(format!("o-{number}"), number, Timestamp::UNIX_EPOCH))
            .collect();
        for order in &orders {
            assert_eq!(order.check(), Ok(()));
        }
        let with = |sku: &str| {
            let has = |order: &&OrderCreated| order.items.iter().any(|item| item.sku == sku);
            orders.iter().filter(has).count()
        };
        assert_eq!(with(sandbox::SOLD_OUT), 4);
        assert_eq!(with(sandbox::DECLINED), 4);
        assert_eq!(with(sandbox::FLAKY), 4);
        assert_eq!(with(sandbox::SLOW), 2);
        assert_eq!(with(sandbox::POISON), 1);
    }
}
