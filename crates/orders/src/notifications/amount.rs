//! Money as customers read it: `29.32 USD`.

use crate::Money;

/// Digits behind the point, by ISO 4217, of the currencies that have others than two.
const DIGITS: [(&str, usize); 24] = [
    ("BIF", 0),
    ("CLP", 0),
    ("DJF", 0),
    ("GNF", 0),
    ("ISK", 0),
    ("JPY", 0),
    ("KMF", 0),
    ("KRW", 0),
    ("PYG", 0),
    ("RWF", 0),
    ("UGX", 0),
    ("UYI", 0),
    ("VND", 0),
    ("VUV", 0),
    ("XAF", 0),
    ("XOF", 0),
    ("XPF", 0),
    ("BHD", 3),
    ("IQD", 3),
    ("JOD", 3),
    ("KWD", 3),
    ("LYD", 3),
    ("OMR", 3),
    ("TND", 3),
];

/// The amount in the currency's main unit, with its code.
pub(super) fn readable(money: Money) -> String {
    let code = money.currency.to_string();
    let digits = DIGITS.iter().find(|(other, _)| *other == code);
    let digits = digits.map_or(2, |(_, digits)| *digits);
    let sign = if money.amount < 0 { "-" } else { "" };
    let minor = money.amount.unsigned_abs();
    match 10_u64.pow(digits as u32) {
        1 => format!("{sign}{minor} {code}"),
        one => format!("{sign}{}.{:0digits$} {code}", minor / one, minor % one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;

    #[test]
    fn the_point_stands_where_the_currency_has_it() {
        for (amount, code, expected) in [
            (2932, "USD", "29.32 USD"),
            (5, "EUR", "0.05 EUR"),
            (0, "USD", "0.00 USD"),
            (500, "JPY", "500 JPY"),
            (1234, "KWD", "1.234 KWD"),
            (i64::MAX, "USD", "92233720368547758.07 USD"),
        ] {
            let currency = Currency::try_from(code.to_owned()).expect("a currency");
            assert_eq!(readable(Money::new(amount, currency)), expected);
        }
    }
}
