//! `numeric` on the wire: digits of base 10 000, to and from a scaled integer.
//!
//! Knows the binary format; knows nothing of columns. Called for every cell of a decimal column, so the usual short
//! number stays in 64 bits.

use super::decode::Reject;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NOT_A_NUMBER: u16 = 0xC000;
const INFINITE: u16 = 0xD000;
const NEGATIVE_INFINITE: u16 = 0xF000;

/// Powers of ten that fit in 64 bits.
const POWERS: [u64; 20] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
    100_000_000_000_000_000,
    1_000_000_000_000_000_000,
    10_000_000_000_000_000_000,
];

fn power(exponent: u32) -> Option<u128> {
    match POWERS.get(exponent as usize) {
        Some(power) => Some(u128::from(*power)),
        None => 10_u128.checked_pow(exponent),
    }
}

/// The value times ten to the `scale`, where that is a whole number below ten to the `precision`.
pub(super) fn decode(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, Reject> {
    let (header, digits) = bytes.split_first_chunk::<8>().ok_or(Reject::Malformed)?;
    let [n0, n1, w0, w1, s0, s1, _, _] = *header;
    let count = u16::from_be_bytes([n0, n1]);
    let weight = i16::from_be_bytes([w0, w1]);
    let sign = u16::from_be_bytes([s0, s1]);
    match sign {
        POSITIVE | NEGATIVE => {}
        NOT_A_NUMBER => return Err(Reject::NotANumber),
        INFINITE | NEGATIVE_INFINITE => return Err(Reject::Infinite),
        _ => return Err(Reject::Malformed),
    }
    if digits.len() != usize::from(count) * 2 {
        return Err(Reject::Malformed);
    }
    // The last digit stands for units of 10 000 to the power `weight - count + 1`.
    let exponent = 4 * (i32::from(weight) - i32::from(count) + 1) + i32::from(scale);
    let magnitude = if count <= 4 && (-16..=3).contains(&exponent) {
        u128::from(short(digits, exponent)?)
    } else {
        long(digits, exponent)?
    };
    if magnitude >= power(u32::from(precision)).unwrap_or(u128::MAX) {
        return Err(Reject::TooLarge);
    }
    let value = i128::try_from(magnitude).map_err(|_| Reject::TooLarge)?;
    Ok(if sign == NEGATIVE { -value } else { value })
}

/// At most four digits, so less than 10^16, and a shift that keeps them within 64 bits.
#[inline]
fn short(digits: &[u8], exponent: i32) -> Result<u64, Reject> {
    let mut value = 0_u64;
    for digit in digits.chunks_exact(2) {
        if let [high, low] = *digit {
            value = value * 10_000 + u64::from(u16::from_be_bytes([high, low]));
        }
    }
    let shift = POWERS
        .get(exponent.unsigned_abs() as usize)
        .copied()
        .unwrap_or(1);
    if exponent >= 0 {
        return Ok(value * shift);
    }
    if !value.is_multiple_of(shift) {
        return Err(Reject::TooPrecise);
    }
    Ok(value / shift)
}

/// Any number of digits. Zeros that fill the last digit beyond the scale are dropped before they can overflow.
fn long(digits: &[u8], last: i32) -> Result<u128, Reject> {
    let mut value = 0_u128;
    let mut exponent = last.saturating_add(2 * i32::try_from(digits.len()).unwrap_or(i32::MAX));
    for digit in digits.chunks_exact(2) {
        let [high, low] = *digit else { continue };
        let digit = u128::from(u16::from_be_bytes([high, low]));
        exponent -= 4;
        // How many of the four decimals of this digit count, and what the others divide by.
        let kept = (exponent + 4).clamp(0, 4).unsigned_abs();
        let rest = power(4 - kept).unwrap_or(1);
        if !digit.is_multiple_of(rest) {
            return Err(Reject::TooPrecise);
        }
        value = power(kept)
            .and_then(|shift| value.checked_mul(shift))
            .and_then(|value| value.checked_add(digit / rest))
            .ok_or(Reject::TooLarge)?;
    }
    if value == 0 || last <= 0 {
        return Ok(value);
    }
    power(last.unsigned_abs())
        .and_then(|shift| value.checked_mul(shift))
        .ok_or(Reject::TooLarge)
}

/// Writes `value` divided by ten to the `scale`. The scale is one of a decimal column: 0 to 38.
pub(super) fn encode(value: i128, scale: u8, out: &mut Vec<u8>) {
    // Pad to whole digits behind the point: 10 000 to the `fraction` units make one.
    let fraction = scale.div_ceil(4);
    let pad = u32::from(fraction * 4 - scale);
    let mut magnitude = value.unsigned_abs();
    // At most 39 decimal digits and 3 of padding make 11 of the wire's.
    let mut digits = [0_u16; 12];
    let mut count = 0_usize;
    let mut first = 10_u128.pow(4 - pad);
    let mut lead = 10_u128.pow(pad);
    for slot in &mut digits {
        if magnitude == 0 {
            break;
        }
        *slot = u16::try_from(magnitude % first * lead).unwrap_or_default();
        magnitude /= first;
        (first, lead) = (10_000, 1);
        count += 1;
    }
    let used = digits.get(..count).unwrap_or_default();
    let zeros = used.iter().take_while(|digit| **digit == 0).count();
    let weight = i16::try_from(count).unwrap_or_default() - i16::from(fraction) - 1;
    let kept = used.get(zeros..).unwrap_or_default();
    let sign = if value < 0 { NEGATIVE } else { POSITIVE };
    out.extend_from_slice(&u16::try_from(kept.len()).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(&(if kept.is_empty() { 0 } else { weight }).to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&u16::from(scale).to_be_bytes());
    for digit in kept.iter().rev() {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(digits: &[u16], weight: i16, sign: u16) -> Vec<u8> {
        let mut bytes = u16::try_from(digits.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(2_u16.to_be_bytes());
        for digit in digits {
            bytes.extend(digit.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn short_numbers() {
        assert_eq!(decode(&wire(&[], 0, POSITIVE), 15, 2), Ok(0));
        assert_eq!(decode(&wire(&[1, 5000], 0, POSITIVE), 15, 2), Ok(150));
        assert_eq!(decode(&wire(&[400], -1, NEGATIVE), 15, 2), Ok(-4));
        assert_eq!(
            decode(&wire(&[1, 2345, 6700], 1, POSITIVE), 15, 2),
            Ok(1_234_567)
        );
        assert_eq!(decode(&wire(&[1], 1, POSITIVE), 15, 2), Ok(1_000_000));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(
            decode(&wire(&[1, 2345], 0, POSITIVE), 15, 2),
            Err(Reject::TooPrecise)
        );
        assert_eq!(
            decode(&wire(&[1], 9, POSITIVE), 38, 9),
            Err(Reject::TooLarge)
        );
        assert_eq!(
            decode(&wire(&[1], 3, POSITIVE), 5, 2),
            Err(Reject::TooLarge)
        );
        assert_eq!(
            decode(&wire(&[], 0, NOT_A_NUMBER), 15, 2),
            Err(Reject::NotANumber)
        );
        assert_eq!(
            decode(&wire(&[], 0, INFINITE), 15, 2),
            Err(Reject::Infinite)
        );
        assert_eq!(decode(&[0, 1], 15, 2), Err(Reject::Malformed));
    }

    #[test]
    fn every_number_comes_back() {
        let largest = 10_i128.pow(38) - 1;
        for value in [
            0,
            1,
            -1,
            9,
            10,
            9_999,
            10_000,
            10_001,
            -123_456_789,
            10_i128.pow(20),
            largest,
            -largest,
        ] {
            for scale in [0, 1, 2, 3, 4, 5, 9, 18, 37, 38] {
                let mut bytes = Vec::new();
                encode(value, scale, &mut bytes);
                let read = decode(&bytes, 38, i8::try_from(scale).unwrap());
                assert_eq!(read, Ok(value), "{value} scale {scale}: {bytes:?}");
            }
        }
    }
}
