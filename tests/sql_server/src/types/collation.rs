//! Collations: in which code page a `varchar` travels, and how a client is told.
//!
//! Knows names, the five bytes of the wire, and encodings. Does not know how PostgreSQL compares.

use encoding_rs::Encoding;

/// One of [`KNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collation(usize);

struct Known {
    name: &'static str,
    lcid: u32,
    flags: u8,
    sort_id: u8,
    code_page: u16,
}

const IGNORE_CASE: u8 = 0x01;
const IGNORE_KANA_WIDTH: u8 = 0x0c;
const BINARY2: u8 = 0x20;
const UTF8: u8 = 0x40;
const INSENSITIVE: u8 = IGNORE_CASE | IGNORE_KANA_WIDTH;

/// The first one is the server's own.
const KNOWN: [Known; 12] = [
    known(
        "SQL_Latin1_General_CP1_CI_AS",
        0x0409,
        INSENSITIVE,
        52,
        1252,
    ),
    known("Latin1_General_CI_AS", 0x0409, INSENSITIVE, 0, 1252),
    known("Latin1_General_CS_AS", 0x0409, IGNORE_KANA_WIDTH, 0, 1252),
    known("Latin1_General_BIN2", 0x0409, BINARY2, 0, 1252),
    known(
        "Latin1_General_100_CI_AS_SC_UTF8",
        0x0409,
        INSENSITIVE | UTF8,
        0,
        65001,
    ),
    known(
        "Latin1_General_100_BIN2_UTF8",
        0x0409,
        BINARY2 | UTF8,
        0,
        65001,
    ),
    known("Cyrillic_General_CI_AS", 0x0419, INSENSITIVE, 0, 1251),
    known("Greek_CI_AS", 0x0408, INSENSITIVE, 0, 1253),
    known("Polish_CI_AS", 0x0415, INSENSITIVE, 0, 1250),
    known("Turkish_CI_AS", 0x041f, INSENSITIVE, 0, 1254),
    known("Japanese_CI_AS", 0x0411, INSENSITIVE, 0, 932),
    known("Thai_CI_AS", 0x041e, INSENSITIVE, 0, 874),
];

const fn known(name: &'static str, lcid: u32, flags: u8, sort_id: u8, code_page: u16) -> Known {
    Known {
        name,
        lcid,
        flags,
        sort_id,
        code_page,
    }
}

impl Collation {
    pub(crate) const DEFAULT: Self = Self(0);

    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = |known: &Known| known.name.eq_ignore_ascii_case(name);
        KNOWN.iter().position(found).map(Self)
    }

    /// What a client sent in front of a text. One that is not known is read as the server's own.
    pub(crate) fn of_wire(bytes: [u8; 5]) -> Self {
        let at = (0..KNOWN.len()).find(|at| Self(*at).wire() == bytes);
        at.map_or_else(|| Self::like(bytes), Self)
    }

    /// Clients write collations of their own making for UTF-8.
    fn like(bytes: [u8; 5]) -> Self {
        let [a, b, c, d, _] = bytes;
        let head = u32::from_le_bytes([a, b, c, d]);
        let utf8 = (head >> 20) & u32::from(UTF8) != 0;
        let lcid = head & 0xf_ffff;
        let fits =
            |known: &Known| (known.flags & UTF8 != 0) == utf8 && (utf8 || known.lcid == lcid);
        Self(KNOWN.iter().position(fits).unwrap_or(0))
    }

    fn known(self) -> &'static Known {
        KNOWN.get(self.0).unwrap_or(&DEFAULT)
    }

    pub(crate) fn name(self) -> &'static str {
        self.known().name
    }

    /// Whether `'a' = 'A'`.
    pub(crate) fn ignores_case(self) -> bool {
        self.known().flags & IGNORE_CASE != 0
    }

    pub(crate) fn wire(self) -> [u8; 5] {
        let Known {
            lcid,
            flags,
            sort_id,
            ..
        } = self.known();
        let [a, b, c, d] = (lcid | (u32::from(*flags) << 20)).to_le_bytes();
        [a, b, c, d, *sort_id]
    }

    fn encoding(self) -> &'static Encoding {
        match self.known().code_page {
            874 => encoding_rs::WINDOWS_874,
            932 => encoding_rs::SHIFT_JIS,
            1250 => encoding_rs::WINDOWS_1250,
            1251 => encoding_rs::WINDOWS_1251,
            1253 => encoding_rs::WINDOWS_1253,
            1254 => encoding_rs::WINDOWS_1254,
            65001 => encoding_rs::UTF_8,
            _ => encoding_rs::WINDOWS_1252,
        }
    }

    /// In the code page; what it does not have becomes a question mark, as on a real server.
    pub(crate) fn encode(self, text: &str) -> Vec<u8> {
        let mut encoder = self.encoding().new_encoder();
        let mut bytes = Vec::with_capacity(text.len() * 2 + 16);
        let mut rest = text;
        loop {
            bytes.reserve(rest.len() * 2 + 16);
            let (result, read) =
                encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut bytes, true);
            rest = rest.get(read..).unwrap_or_default();
            match result {
                encoding_rs::EncoderResult::InputEmpty => return bytes,
                encoding_rs::EncoderResult::Unmappable(_) => bytes.push(b'?'),
                encoding_rs::EncoderResult::OutputFull => {}
            }
        }
    }

    pub(crate) fn decode(self, bytes: &[u8]) -> String {
        self.encoding()
            .decode_without_bom_handling(bytes)
            .0
            .into_owned()
    }
}

const DEFAULT: Known = known(
    "SQL_Latin1_General_CP1_CI_AS",
    0x0409,
    INSENSITIVE,
    52,
    1252,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_collation_has_the_bytes_that_clients_know() {
        assert_eq!(Collation::DEFAULT.wire(), [0x09, 0x04, 0xd0, 0x00, 0x34]);
        assert_eq!(
            Collation::of_wire([0x09, 0x04, 0xd0, 0x00, 0x34]),
            Collation::DEFAULT
        );
    }

    #[test]
    fn what_a_code_page_has_not_becomes_a_question_mark() {
        let cyrillic = Collation::named("cyrillic_general_ci_as").unwrap();
        assert_eq!(cyrillic.encode("Ж€漢"), [0xc6, 0x88, b'?']);
        assert_eq!(Collation::DEFAULT.encode("é漢"), [0xe9, b'?']);
        let utf8 = Collation::named("Latin1_General_100_CI_AS_SC_UTF8").unwrap();
        assert_eq!(utf8.encode("é"), "é".as_bytes());
    }
}
