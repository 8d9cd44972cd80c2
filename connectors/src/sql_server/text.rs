//! Text on the wire into UTF-8: UTF-16, and the code pages of collations.
//!
//! Knows encodings; knows nothing of columns. What is not well formed is refused, never replaced.

use mssql_tds::datatypes::sql_string::ResolvedEncoding;

/// Bytes that are no text in the encoding they are said to be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The bits of four UTF-16 units, little endian, of which none is set where all four are ASCII.
const BEYOND_ASCII: u64 = 0xff80_ff80_ff80_ff80;

/// Adds UTF-16, little endian, as UTF-8. Half of a surrogate pair alone is malformed.
#[inline]
pub(super) fn push_utf16(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.reserve(bytes.len() / 2);
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
        if u64::from_le_bytes(*chunk) & BEYOND_ASCII != 0 {
            return push_units(rest, out);
        }
        let [a, _, b, _, c, _, d, _] = *chunk;
        out.extend_from_slice(&[a, b, c, d]);
        rest = after;
    }
    push_units(rest, out)
}

fn push_units(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let units = bytes.chunks_exact(2);
    if !units.remainder().is_empty() {
        return Err(Malformed);
    }
    let units = units.filter_map(|pair| pair.first_chunk::<2>());
    let mut utf8 = [0; 4];
    for character in char::decode_utf16(units.map(|pair| u16::from_le_bytes(*pair))) {
        let character = character.map_err(|_| Malformed)?;
        out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    }
    Ok(())
}

/// Adds XML, which is UTF-16 behind a mark of its byte order.
pub(super) fn push_xml(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    push_utf16(bytes.strip_prefix(&[0xff, 0xfe]).unwrap_or(bytes), out)
}

/// Adds text of a code page as UTF-8. All of them have ASCII in common.
#[inline]
pub(super) fn push_narrow(
    bytes: &[u8],
    encoding: ResolvedEncoding,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    if bytes.is_ascii() {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let (text, broken) = encoding.decode_without_bom_handling(bytes);
    if broken {
        return Err(Malformed);
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn utf16_of_every_length() {
        for text in ["", "a", "abcd", "abcdefgh-ü", "ü", "abcd😀efgh", "日本語"] {
            let mut out = b"before ".to_vec();
            push_utf16(&utf16(text), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("before {text}"));
        }
    }

    #[test]
    fn half_a_pair_is_refused() {
        let mut out = Vec::new();
        assert_eq!(push_utf16(&[0x3d, 0xd8], &mut out), Err(Malformed));
        assert_eq!(push_utf16(&[0x41], &mut out), Err(Malformed));
    }

    #[test]
    fn code_pages() {
        let page = |label: &[u8]| {
            ResolvedEncoding::from(mssql_tds::encoding_rs::Encoding::for_label(label).unwrap())
        };
        let decoded = |bytes: &[u8], page| {
            let mut out = Vec::new();
            push_narrow(bytes, page, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(decoded(b"\x80 5", page(b"windows-1252")).unwrap(), "€ 5");
        assert_eq!(
            decoded(b"\x93\xfa\x96{", page(b"shift_jis")).unwrap(),
            "日本"
        );
        assert_eq!(decoded(b"\x93", page(b"shift_jis")), Err(Malformed));
        assert_eq!(
            decoded(b"\x81\x80", ResolvedEncoding::Oem437).unwrap(),
            "üÇ"
        );
        assert_eq!(decoded(b"\xff", page(b"utf-8")), Err(Malformed));
    }

    #[test]
    fn xml_has_no_mark_in_front() {
        let mut out = Vec::new();
        push_xml(&[0xff, 0xfe, b'<', 0, b'a', 0, b'/', 0, b'>', 0], &mut out).unwrap();
        assert_eq!(out, b"<a/>");
    }
}
