//! Money: integer minor units and an ISO 4217 currency, with arithmetic that refuses instead of rounding or wrapping.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An amount in the minor unit of its currency: cents, pence, yen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Money {
    /// Minor units; not negative.
    #[schemars(range(min = 0))]
    pub amount: i64,
    /// The currency's ISO 4217 code.
    pub currency: Currency,
}

/// An ISO 4217 code by its shape: three capital letters. Which codes are in use changes; the payment service knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// Amounts that cannot be added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// There is no sum of different currencies.
    #[error("{left} and {right} are mixed; an order has one currency")]
    MixedCurrencies {
        /// The currency so far.
        left: Currency,
        /// The other one.
        right: Currency,
    },
    /// More than 64 bits of minor units.
    #[error("the amount is larger than {}", i64::MAX)]
    Overflow,
}

impl Money {
    /// `amount` minor units of `currency`.
    pub fn new(amount: i64, currency: Currency) -> Self {
        Self { amount, currency }
    }

    /// `quantity` times this.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn times(self, quantity: u32) -> Result<Self, MoneyError> {
        let amount = self.amount.checked_mul(quantity.into());
        let amount = amount.ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }

    /// This and `other` together.
    ///
    /// # Errors
    /// [`MoneyError`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::MixedCurrencies {
                left: self.currency,
                right: other.currency,
            });
        }
        let amount = self.amount.checked_add(other.amount);
        let amount = amount.ok_or(MoneyError::Overflow)?;
        Ok(Self { amount, ..self })
    }
}

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");

    /// The code.
    pub fn as_str(&self) -> &str {
        // Only capital letters get in, so the empty code is never reached.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl TryFrom<String> for Currency {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        match code.as_bytes() {
            bytes @ &[a, b, c] if bytes.iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err("currency must be an ISO 4217 code of three capital letters".into()),
        }
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[A-Z]{3}$",
            "description": "An ISO 4217 code.",
        })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_refuse_to_wrap_or_to_mix() {
        let most = Money::new(i64::MAX, Currency::USD);
        let one = Money::new(1, Currency::USD);

        assert_eq!(most.times(2), Err(MoneyError::Overflow));
        assert_eq!(most.plus(one), Err(MoneyError::Overflow));
        assert_eq!(
            one.plus(Money::new(1, Currency::EUR)),
            Err(MoneyError::MixedCurrencies {
                left: Currency::USD,
                right: Currency::EUR
            })
        );
        assert_eq!(one.times(0), Ok(Money::new(0, Currency::USD)));
    }

    #[test]
    fn a_currency_is_three_capital_letters() {
        for code in ["", "usd", "US", "USDT", "U$D", "ÜS"] {
            assert!(Currency::try_from(code.to_owned()).is_err(), "{code}");
        }
        assert_eq!(Currency::try_from("USD".to_owned()), Ok(Currency::USD));
    }
}
