//! What an event is worth: its `value` in its `currency`, in millionths, where both can be read.
//!
//! It is counted, and nothing is decided by it: what cannot be read exactly is left out.

use super::json::Found;

/// An amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// The code of its currency, three upper-case letters.
    pub currency: [u8; 3],
    /// Millionths of its unit.
    pub micros: i64,
}

/// A thousand million units: what is more is a mistake, and would drown all else.
const MICROS_MAX: f64 = 1e15;

/// The parts of an amount, as they are met.
#[derive(Default)]
pub(super) struct Parts {
    currency: Option<[u8; 3]>,
    micros: Option<i64>,
}

impl Parts {
    /// Takes what stands in `currency`.
    pub(super) fn take_currency(&mut self, found: &Found<'_>) {
        if let Found::Text(code) = found
            && mpgate_contract::is_currency(code)
        {
            self.currency = code.as_bytes().try_into().ok();
        }
    }

    /// Takes what stands in `value`.
    pub(super) fn take_value(&mut self, found: &Found<'_>) {
        self.micros = found.number().and_then(micros);
    }

    pub(super) fn money(&self) -> Option<Money> {
        self.currency.zip(self.micros).map(|(currency, micros)| Money { currency, micros })
    }
}

/// Decimal fractions are not exact in a double; rounded to millionths they are again.
fn micros(number: f64) -> Option<i64> {
    let micros = (number * 1e6).round();
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 1e15")]
    let whole = (micros.abs() <= MICROS_MAX).then_some(micros as i64);
    whole
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn an_amount_is_a_number_with_a_currency() {
        let text = |text: &'static str| Found::Text(Cow::Borrowed(text));
        for (currency, value, money) in [
            (text("EUR"), Found::Number("30"), Some(30_000_000)),
            (text("EUR"), Found::Number("0.1"), Some(100_000)),
            (text("EUR"), Found::Number("1234.56"), Some(1_234_560_000)),
            (text("EUR"), Found::Number("-2.5"), Some(-2_500_000)),
            (text("EUR"), text("19.99"), Some(19_990_000)),
            (text("EUR"), Found::Number("1000000000"), Some(1_000_000_000_000_000)),
            (text("EUR"), Found::Number("1000000001"), None),
            (text("EUR"), Found::Number("1e300"), None),
            (text("EUR"), text("$19"), None),
            (text("EUR"), Found::Bool(true), None),
            (text("EUR"), Found::Null, None),
            (text("eur"), Found::Number("1"), None),
            (text("EURO"), Found::Number("1"), None),
            (Found::Null, Found::Number("1"), None),
        ] {
            let mut parts = Parts::default();
            parts.take_value(&value);
            parts.take_currency(&currency);
            assert_eq!(parts.money().map(|money| money.micros), money, "{currency:?} {value:?}");
        }
    }
}
