//! What each code means, for `lakewright explain`.

use crate::check;
use crate::diagnostic::Code;
use crate::meaning;
use crate::read::{MISSING_FIELD, SECRET_IN_CLEAR, UNKNOWN_FIELD, WRONG_VALUE};
use crate::yaml::{DUPLICATE_KEY, TOO_LARGE, YAML_SYNTAX};

/// The codes of reading, before any rule.
const READING: &[&Code] = &[
    &DUPLICATE_KEY,
    &MISSING_FIELD,
    &SECRET_IN_CLEAR,
    &TOO_LARGE,
    &UNKNOWN_FIELD,
    &WRONG_VALUE,
    &YAML_SYNTAX,
];

fn all() -> impl Iterator<Item = &'static &'static Code> {
    READING.iter().chain(check::CODES).chain(meaning::CODES)
}

/// What a code means and what to do about it; `None` where there is no such code.
pub fn explain(code: &str) -> Option<&'static str> {
    all()
        .find(|known| known.name == code)
        .map(|known| known.explain)
}

/// All codes, sorted.
pub fn codes() -> Vec<&'static str> {
    let mut codes: Vec<&str> = all().map(|code| code.name).collect();
    codes.sort_unstable();
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut unique = codes();
        unique.dedup();
        assert_eq!(unique, codes());
        assert!(codes().iter().all(|code| explain(code).is_some()));
        assert_eq!(explain("nonsense"), None);
    }
}
