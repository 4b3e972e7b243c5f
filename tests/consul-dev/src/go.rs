//! The parts of Go's formatting that show on the wire: durations, times and JSON escapes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Reads a Go duration: `10s`, `1h30m`, `1.5ms`, `-3s` is refused because no duration of ours may be negative.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let scale = match rest.get(..end)? {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += number * scale;
        rest = rest.get(end..)?;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

/// Writes a duration as Go's `Duration.String` does: `1m30s`, `1.5s`, `200ms`, `0s`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000 {
        return format!("{nanos}ns");
    }
    if nanos < 1_000_000 {
        return format!("{}µs", decimal(nanos, 1_000));
    }
    if nanos < 1_000_000_000 {
        return format!("{}ms", decimal(nanos, 1_000_000));
    }
    let hours = nanos / 3_600_000_000_000;
    let minutes = nanos / 60_000_000_000 % 60;
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u128, unit: u128) -> String {
    let whole = value / unit;
    let fraction = value % unit;
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

/// A duration in a JSON body: a Go string or a number of nanoseconds.
pub(crate) fn duration_of(value: &Value) -> Result<Duration, String> {
    match value {
        Value::Null => Ok(Duration::ZERO),
        Value::String(text) if text.is_empty() => Ok(Duration::ZERO),
        Value::String(text) => {
            parse_duration(text).ok_or_else(|| format!("time: invalid duration {text:?}"))
        }
        Value::Number(number) => Ok(Duration::from_nanos(number.as_u64().unwrap_or(0))),
        other => Err(format!(
            "json: cannot unmarshal {} into a duration",
            json_kind(other)
        )),
    }
}

/// What Go's JSON decoder calls a value in its error texts.
pub(crate) fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `2026-11-22T14:40:26Z`: seconds only, as X.509 times are.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// `2026-11-22T14:41:02.946896867Z`: with nanoseconds, as stored objects have.
pub(crate) fn rfc3339_nanos(time: SystemTime) -> String {
    let nanos = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    let whole = rfc3339(time);
    format!("{}.{nanos:09}Z", whole.trim_end_matches('Z'))
}

/// Year, month and day of a day count since 1970-01-01 (proleptic Gregorian).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped; indented by four when asked.
pub(crate) fn encode(value: &Value, pretty: bool) -> String {
    let plain = if pretty {
        let mut buffer = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut buffer, formatter);
        // Writing a `Value` into memory fails only on a non-string map key, which `Value` cannot hold.
        if serde::Serialize::serialize(value, &mut serializer).is_err() {
            return String::new();
        }
        let mut text = String::from_utf8(buffer).unwrap_or_default();
        text.push('\n');
        text
    } else {
        value.to_string()
    };
    if plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        plain
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029")
    } else {
        plain
    }
}

/// A random version 4 UUID.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip_as_go_writes_them() {
        for (text, shown) in [
            ("90s", "1m30s"),
            ("1500ms", "1.5s"),
            ("1.5ms", "1.5ms"),
            ("1h", "1h0m0s"),
            ("0s", "0s"),
            ("200ms", "200ms"),
            ("5m", "5m0s"),
        ] {
            assert_eq!(
                parse_duration(text).map(format_duration).as_deref(),
                Some(shown)
            );
        }
        for text in ["", "abc", "10", "-1s", "3x", "s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        let time = UNIX_EPOCH + Duration::from_secs(1_795_358_426);
        assert_eq!(rfc3339(time), "2026-11-22T14:40:26Z");
    }
}
