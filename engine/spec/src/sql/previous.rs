//! `previous(…)` in an expectation about a table: what it says of the table as it is, and of the table before.
//!
//! A text that can be parsed is rewritten by its tokens, so that everything else in it stays as it was written.

use std::ops::Range;

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The name of the function.
pub(super) const NAME: &str = "previous";

/// A call: its name, and what stands between its brackets, as bytes of the text.
struct Call {
    name: Range<usize>,
    argument: Range<usize>,
}

/// Whether an expectation compares with the table before.
pub fn is_in(expect: &str) -> bool {
    !calls(expect).is_empty()
}

/// The expectation with `previous(…)` standing for its argument. No other place in the text moves.
pub fn as_if_now(expect: &str) -> String {
    let mut text = expect.to_owned();
    for call in calls(expect) {
        let blank = " ".repeat(call.name.len());
        text.replace_range(call.name, &blank);
    }
    text
}

/// The expectation with `previous(…)` computed from this table, or being NULL where there is none.
pub fn with(expect: &str, table: Option<&str>) -> String {
    let mut text = expect.to_owned();
    for call in calls(expect).into_iter().rev() {
        let Some(argument) = expect.get(call.argument.clone()) else {
            continue;
        };
        let value = match table {
            Some(table) => format!("(SELECT (\n{argument}\n) FROM {table})"),
            // NULL of the type that the value has.
            None => format!("(CASE WHEN false THEN (\n{argument}\n) END)"),
        };
        text.replace_range(call.name.start..=call.argument.end, &value);
    }
    text
}

/// All calls, in order. None stands in another.
fn calls(expect: &str) -> Vec<Call> {
    let tokens = Tokenizer::new(&GenericDialect, expect)
        .tokenize_with_location()
        .unwrap_or_default();
    let mut tokens = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_)))
        .peekable();
    let mut calls = Vec::new();
    while let Some(token) = tokens.next() {
        if is_name(&token.token)
            && let Some(open) = tokens.next_if(|next| next.token == Token::LParen)
            && let Some(close) = closing(&mut tokens)
            && let Some(start) = byte(expect, token.span.start)
            && let Some(argument) = byte(expect, open.span.end)
            && let Some(end) = byte(expect, close.span.start)
        {
            calls.push(Call {
                name: start..start + NAME.len(),
                argument: argument..end,
            });
        }
    }
    calls
}

fn is_name(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(NAME))
}

/// The bracket that closes one that has been opened.
fn closing<'a>(tokens: &mut impl Iterator<Item = &'a TokenWithSpan>) -> Option<&'a TokenWithSpan> {
    let mut depth = 1_usize;
    tokens.find(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The byte of the text at a place.
fn byte(text: &str, place: Location) -> Option<usize> {
    let line = usize::try_from(place.line.checked_sub(1)?).ok()?;
    let column = usize::try_from(place.column.checked_sub(1)?).ok()?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..)?;
    let mut within = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    within.nth(column).map(|at| start + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECT: &str = "count(*) > 0.8 * previous(count(*))";

    #[test]
    fn what_was_before_comes_from_another_table() {
        assert_eq!(
            with(EXPECT, Some("before")),
            "count(*) > 0.8 * (SELECT (\ncount(*)\n) FROM before)"
        );
        assert_eq!(
            with(EXPECT, None),
            "count(*) > 0.8 * (CASE WHEN false THEN (\ncount(*)\n) END)"
        );
        let two = "-- größer\nmax(a) >= PREVIOUS (max(a) - 1) and min(a) = previous(min(a))";
        assert_eq!(
            with(two, Some("b")),
            "-- größer\nmax(a) >= (SELECT (\nmax(a) - 1\n) FROM b) and min(a) = (SELECT (\nmin(a)\n) FROM b)"
        );
    }

    #[test]
    fn no_place_moves_where_it_stands_for_what_is() {
        assert_eq!(as_if_now(EXPECT), "count(*) > 0.8 *         (count(*))");
        assert!(is_in(EXPECT));
        for other in [
            "previous > 1",
            "\"previous\"(1)",
            "'previous(1)'",
            "a = 1 -- previous(1)",
        ] {
            assert!(!is_in(other), "{other}");
            assert_eq!(as_if_now(other), other);
        }
    }
}
