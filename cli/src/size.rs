//! Sizes in human units, both ways: `1.5G` is 1,610,612,736 bytes and prints as `1.5 GiB`.
//!
//! Units are powers of 1024: K, M, G, T, P, E, alone or as KiB, MiB ... in any case. `GB` and its like are refused, since
//! they mean 1000 to some and 1024 to others.

const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];

/// Reads a size.
///
/// # Errors
/// A sentence saying what a size looks like, or that this one does not fit 64 bits.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = unit_shift(unit.trim())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty()
        || fraction.contains('.')
        || fraction.len() > 18
        || (whole.is_empty() && fraction.is_empty())
    {
        return Err("a size is a number and a unit, such as 4096, 64K, 1.5G or 2TiB".to_owned());
    }
    let too_large = || "larger than 16 EiB".to_owned();
    let digits =
        |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>().map_err(|_| too_large()) };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| too_large())?);
    let whole = u64::try_from(digits(whole)?).map_err(|_| too_large())?;
    let bytes = (u128::from(whole) << shift) + ((digits(fraction)? << shift) / scale);
    u64::try_from(bytes).map_err(|_| too_large())
}

/// log2 of the unit's factor.
fn unit_shift(unit: &str) -> Result<u32, String> {
    let upper = unit.to_ascii_uppercase();
    let letter = upper.strip_suffix("IB").unwrap_or(&upper);
    if upper.is_empty() || upper == "B" {
        return Ok(0);
    }
    match (1_u32..).zip(UNITS).find(|(_, name)| *name == letter) {
        Some((power, _)) => Ok(10 * power),
        None => {
            Err(format!("unknown unit '{unit}': use K, M, G, T, P or E (KiB, MiB ...), in powers of 1024"))
        }
    }
}

/// A size for people, rounded to a tenth of its unit.
pub(crate) fn format(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let tenths_of = |shift: u32| (u128::from(bytes) * 10 + (1 << (shift - 1))) >> shift;
    let (mut unit, mut shift) = (0, 10);
    while tenths_of(shift) >= 10 * 1024 && unit + 1 < UNITS.len() {
        unit += 1;
        shift += 10;
    }
    let tenths = tenths_of(shift);
    match tenths % 10 {
        0 => format!("{} {}iB", tenths / 10, UNITS[unit]),
        tenth => format!("{}.{tenth} {}iB", tenths / 10, UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units_of_1024_and_fractions() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("17b", 17),
            ("64K", 65_536),
            ("1G", 1 << 30),
            ("1g", 1 << 30),
            ("1GiB", 1 << 30),
            ("1 GiB", 1 << 30),
            ("1.5G", 3 << 29),
            (".5k", 512),
            ("15E", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in [
            "",
            "G",
            ".",
            "1..2",
            "1.2.3",
            "-1",
            "1GB",
            "1X",
            "1iB",
            "16E",
            "18446744073709551616",
            "1e9",
            "x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn prints_a_tenth_and_never_1024_of_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (1 << 30, "1 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(format(bytes), text);
        }
    }
}
