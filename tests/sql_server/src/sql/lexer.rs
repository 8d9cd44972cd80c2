//! Text → tokens of T-SQL.
//!
//! Knows how words, numbers, strings and comments are written. Knows no statement.

use crate::error::{Result, SqlError};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A keyword or a name without quotes.
    Word(String),
    /// A name in brackets or double quotes.
    Quoted(String),
    /// `@name` or `@@name`, with its at signs.
    Variable(String),
    /// An integer or a decimal number.
    Number(String),
    /// A number with an exponent.
    Float(String),
    /// `$1.25`, without the sign of the currency.
    Money(String),
    Text {
        text: String,
        national: bool,
    },
    Binary(Vec<u8>),
    Symbol(&'static str),
}

/// A token, and the line it stands on.
#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) line: u32,
}

impl Token {
    /// As it is quoted in a message.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Word(text)
            | Self::Quoted(text)
            | Self::Variable(text)
            | Self::Number(text)
            | Self::Float(text)
            | Self::Money(text)
            | Self::Text { text, .. } => text.clone(),
            Self::Binary(_) => "0x".to_owned(),
            Self::Symbol(symbol) => (*symbol).to_owned(),
        }
    }
}

/// Longer ones first: the first that fits is taken.
const SYMBOLS: [&str; 28] = [
    "<>", "!=", "<=", ">=", "!<", "!>", "+=", "-=", "*=", "/=", "::", "(", ")", ",", ";", ".", "=",
    "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "~",
];

pub(crate) fn tokens(text: &str) -> Result<Vec<Lexeme>> {
    let mut lexer = Lexer {
        rest: text,
        line: 1,
    };
    let mut found = Vec::new();
    loop {
        lexer.skip_blank()?;
        let line = lexer.line;
        match lexer.token()? {
            Some(token) => found.push(Lexeme { token, line }),
            None => return Ok(found),
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line += u32::try_from(lines).unwrap_or(0);
        taken
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn skip_blank(&mut self) -> Result<()> {
        loop {
            self.take_while(|c| c.is_whitespace() || c == '\u{feff}');
            if self.rest.starts_with("--") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                self.skip_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Comments nest in T-SQL.
    fn skip_comment(&mut self) -> Result<()> {
        let mut depth = 0_u32;
        loop {
            if self.rest.starts_with("/*") {
                self.take(2);
                depth += 1;
            } else if self.rest.starts_with("*/") {
                self.take(2);
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
            } else if let Some(next) = self.rest.chars().next() {
                self.take(next.len_utf8());
            } else {
                return Err(SqlError::new(113, 15, "Missing end comment mark '*/'."));
            }
        }
    }

    fn token(&mut self) -> Result<Option<Token>> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let second = self.rest.chars().nth(1);
        Ok(Some(match first {
            'N' | 'n' if second == Some('\'') => {
                self.take(1);
                Token::Text {
                    text: self.enclosed('\'')?,
                    national: true,
                }
            }
            '\'' => Token::Text {
                text: self.enclosed('\'')?,
                national: false,
            },
            '[' => Token::Quoted(self.enclosed(']')?),
            '"' => Token::Quoted(self.enclosed('"')?),
            '@' => Token::Variable(self.take_while(|c| c == '@' || is_of_word(c)).to_owned()),
            '0' if matches!(second, Some('x' | 'X')) => self.binary()?,
            '0'..='9' => self.number(),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => self.number(),
            '$' if second.is_some_and(|c| c.is_ascii_digit() || c == '-') => {
                self.take(1);
                let sign = if self.rest.starts_with('-') {
                    self.take(1)
                } else {
                    ""
                };
                let digits = self.take_while(|c| c.is_ascii_digit() || c == '.');
                Token::Money(format!("{sign}{digits}"))
            }
            c if c == '_' || c == '#' || c == '$' || c.is_alphabetic() => {
                Token::Word(self.take_while(is_of_word).to_owned())
            }
            _ => self.symbol()?,
        }))
    }

    /// What stands between quotes; a doubled closing quote is one of the text.
    fn enclosed(&mut self, close: char) -> Result<String> {
        let opening = self.line;
        self.take(1);
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != close));
            if self.rest.is_empty() {
                return Err(SqlError {
                    line: opening,
                    ..SqlError::new(
                        105,
                        15,
                        format!("Unclosed quotation mark after the character string '{text}'."),
                    )
                });
            }
            self.take(1);
            if !self.rest.starts_with(close) {
                return Ok(text);
            }
            self.take(1);
            text.push(close);
        }
    }

    fn binary(&mut self) -> Result<Token> {
        self.take(2);
        let digits = self.take_while(|c| c.is_ascii_hexdigit());
        let even = if digits.len().is_multiple_of(2) {
            digits.to_owned()
        } else {
            format!("0{digits}")
        };
        from_hex(&even)
            .map(Token::Binary)
            .ok_or_else(|| SqlError::syntax(digits, self.line))
    }

    fn number(&mut self) -> Token {
        let mut text = self
            .take_while(|c| c.is_ascii_digit() || c == '.')
            .to_owned();
        let mut rest = self.rest.chars();
        let exponent = matches!(rest.next(), Some('e' | 'E'))
            && rest
                .next()
                .is_some_and(|c| c.is_ascii_digit() || "+-".contains(c));
        if !exponent {
            return Token::Number(text);
        }
        text.push_str(self.take(1));
        if self.rest.starts_with(['+', '-']) {
            text.push_str(self.take(1));
        }
        text.push_str(self.take_while(|c| c.is_ascii_digit()));
        Token::Float(text)
    }

    fn symbol(&mut self) -> Result<Token> {
        for symbol in SYMBOLS {
            if self.rest.starts_with(symbol) {
                self.take(symbol.len());
                return Ok(Token::Symbol(symbol));
            }
        }
        let near: String = self.rest.chars().take(1).collect();
        Err(SqlError::syntax(&near, self.line))
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '#' | '$' | '@')
}

/// The bytes that an even number of hexadecimal digits stands for.
pub(crate) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_where_t_sql_cuts_it() {
        let told: Vec<Token> =
            tokens("/* a /* b */ */ SELECT [x]]y], N'it''s', 0xA1f, $-1.5, 1e-3, .5 -- end\n<>@@v")
                .unwrap()
                .into_iter()
                .map(|lexeme| lexeme.token)
                .collect();
        let comma = Token::Symbol(",");
        let expected = [
            Token::Word("SELECT".to_owned()),
            Token::Quoted("x]y".to_owned()),
            comma.clone(),
            Token::Text {
                text: "it's".to_owned(),
                national: true,
            },
            comma.clone(),
            Token::Binary(vec![0x0a, 0x1f]),
            comma.clone(),
            Token::Money("-1.5".to_owned()),
            comma.clone(),
            Token::Float("1e-3".to_owned()),
            comma,
            Token::Number(".5".to_owned()),
            Token::Symbol("<>"),
            Token::Variable("@@v".to_owned()),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_string_without_an_end_is_told_with_its_line() {
        let error = tokens("SELECT 1\n, 'abc").unwrap_err();
        assert_eq!((error.number, error.line), (105, 2));
    }
}
