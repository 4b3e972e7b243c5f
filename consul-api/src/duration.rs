//! Durations as Go writes them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration as Consul's JSON has it: `"1h30m"`, `"150ms"`, or a whole number of nanoseconds. It may be negative.
///
/// Which of the two forms a field has differs by endpoint: both are read everywhere, the text is written. An empty text is 0.
///
/// ```
/// use consul_api::duration::GoDuration;
/// use std::time::Duration;
///
/// let timeout: GoDuration = "1m30s".parse()?;
/// assert_eq!(Duration::try_from(timeout)?, Duration::from_secs(90));
/// assert_eq!(GoDuration::from(Duration::from_millis(1500)).to_string(), "1.5s");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration {
    nanoseconds: i64,
}

/// A text that is no duration, or a duration outside the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDuration(String);

impl GoDuration {
    /// A duration of that many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// The nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.nanoseconds
    }

    /// Whether it is 0, which in most of Consul's fields means "not set".
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanoseconds == 0
    }

    /// Whether it is below 0, which in timeouts of routes means "none".
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.nanoseconds < 0
    }
}

impl From<Duration> for GoDuration {
    /// Longer than 292 years becomes just that.
    fn from(duration: Duration) -> Self {
        Self::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl TryFrom<GoDuration> for Duration {
    type Error = InvalidDuration;

    /// # Errors
    /// If it is negative.
    fn try_from(duration: GoDuration) -> Result<Self, InvalidDuration> {
        match u64::try_from(duration.nanoseconds) {
            Ok(nanoseconds) => Ok(Self::from_nanos(nanoseconds)),
            Err(_) => Err(InvalidDuration(duration.to_string())),
        }
    }
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    /// Reads what Go's `time.ParseDuration` reads: an optional sign, then numbers with units (`ns us µs ms s m h`), or `0`.
    ///
    /// # Errors
    /// If the text has another form, or is out of range.
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        parse(text).ok_or_else(|| InvalidDuration(text.chars().take(60).collect()))
    }
}

fn parse(text: &str) -> Option<GoDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(GoDuration::default());
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit_length = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let whole = if whole.is_empty() {
            0
        } else {
            whole.parse::<u64>().ok()?
        };
        total = total.checked_add(whole.checked_mul(*nanoseconds)?)?;
        total = total.checked_add(fraction_of(fraction, *nanoseconds))?;
        rest = after;
    }
    if negative {
        0i64.checked_sub_unsigned(total).map(GoDuration::from_nanos)
    } else {
        i64::try_from(total).ok().map(GoDuration::from_nanos)
    }
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

/// `0.<fraction>` of a unit, cut to whole nanoseconds. An hour has 13 digits of them; what stands behind cannot matter.
fn fraction_of(fraction: &str, nanoseconds: u64) -> u64 {
    let mut numerator: u128 = 0;
    let mut denominator: u128 = 1;
    for digit in fraction.bytes().take(18) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    // Below one unit, so it fits.
    u64::try_from(numerator * u128::from(nanoseconds) / denominator).unwrap_or(0)
}

impl fmt::Display for GoDuration {
    /// As Go prints it: `1h30m0s`, `1.5s`, `150ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.nanoseconds.unsigned_abs();
        if self.is_negative() {
            f.write_str("-")?;
        }
        if total == 0 {
            return f.write_str("0s");
        }
        if total < 1_000_000_000 {
            let (unit, size) = match total {
                0..1_000 => ("ns", 1),
                1_000..1_000_000 => ("µs", 1_000),
                _ => ("ms", 1_000_000),
            };
            return write_decimal(f, total, size, unit);
        }
        let minutes = total / 60_000_000_000;
        if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write_decimal(f, total % 60_000_000_000, 1_000_000_000, "s")
    }
}

fn write_decimal(f: &mut fmt::Formatter<'_>, amount: u64, size: u64, unit: &str) -> fmt::Result {
    write!(f, "{}", amount / size)?;
    let rest = amount % size;
    if rest > 0 {
        let width = size.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(unit)
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"1h30m\", or nanoseconds")
            }

            fn visit_i64<E: de::Error>(self, nanoseconds: i64) -> Result<GoDuration, E> {
                Ok(GoDuration::from_nanos(nanoseconds))
            }

            fn visit_u64<E: de::Error>(self, nanoseconds: u64) -> Result<GoDuration, E> {
                match i64::try_from(nanoseconds) {
                    Ok(nanoseconds) => Ok(GoDuration::from_nanos(nanoseconds)),
                    Err(_) => Err(E::invalid_value(
                        de::Unexpected::Unsigned(nanoseconds),
                        &self,
                    )),
                }
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                if text.is_empty() {
                    return Ok(GoDuration::default());
                }
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a duration that can be used here", self.0)
    }
}

impl std::error::Error for InvalidDuration {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_prints_as_go_does() {
        for (text, nanoseconds, printed) in [
            ("0", 0, "0s"),
            ("5s", 5_000_000_000, "5s"),
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("150ms", 150_000_000, "150ms"),
            ("-1.5h", -5_400_000_000_000, "-1h30m0s"),
            ("+5s", 5_000_000_000, "5s"),
            (".5s", 500_000_000, "500ms"),
            ("1.s", 1_000_000_000, "1s"),
            ("1.5ms", 1_500_000, "1.5ms"),
            ("3us", 3_000, "3µs"),
            ("10m", 600_000_000_000, "10m0s"),
            ("2160h", 7_776_000_000_000_000, "2160h0m0s"),
            ("1s1ms", 1_001_000_000, "1.001s"),
            (
                "-9223372036854775808ns",
                i64::MIN,
                "-2562047h47m16.854775808s",
            ),
        ] {
            let duration: GoDuration = text.parse().expect(text);
            assert_eq!(
                (duration.as_nanos(), duration.to_string().as_str()),
                (nanoseconds, printed),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "",
            "5",
            "-",
            ".",
            ".s",
            "s",
            "5 s",
            "5x",
            "1h-5m",
            "--1s",
            "9223372036854775808ns",
            "3000000h",
            "5S",
        ] {
            assert!(text.parse::<GoDuration>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn json_may_be_text_or_nanoseconds() {
        for json in ["\"2s\"", "2000000000"] {
            assert_eq!(
                serde_json::from_str::<GoDuration>(json).expect(json),
                GoDuration::from(Duration::from_secs(2))
            );
        }
        assert_eq!(
            serde_json::from_str::<GoDuration>("\"\"").expect("unset"),
            GoDuration::default()
        );
        assert!(serde_json::from_str::<GoDuration>("18446744073709551615").is_err());
        assert!(serde_json::from_str::<GoDuration>("\"soon\"").is_err());
    }

    proptest! {
        #[test]
        fn printing_and_reading_gives_the_same(nanoseconds: i64) {
            let duration = GoDuration::from_nanos(nanoseconds);
            prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[-+]?([0-9]{0,22}(\\.[0-9]{0,22})?(ns|us|µs|ms|s|m|h|x)?){0,4}") {
            let _ = text.parse::<GoDuration>();
        }

        #[test]
        fn whole_amounts_of_a_unit_are_exact(amount in 0u32..1_000_000, unit in 0usize..6) {
            let (name, size) = UNITS[unit];
            let parsed = format!("{amount}{name}").parse::<GoDuration>();
            prop_assert_eq!(parsed.map(GoDuration::as_nanos), Ok(i64::from(amount) * i64::try_from(size).expect("small")));
        }
    }
}
