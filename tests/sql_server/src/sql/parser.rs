//! Tokens → statements: the cursor that all productions share, and names and types.
//!
//! The productions are in `parse_*`. Whatever none of them takes is error 102 at its token.

use super::lexer::{Lexeme, Token, tokens};
use super::syntax::{Name, Statement};
use crate::error::{Result, SqlError};
use crate::types::{Collation, MAX, SqlType};

/// How deep expressions and queries may nest.
const DEEPEST: u32 = 48;

pub(crate) struct Parser<'a> {
    tokens: &'a [Lexeme],
    at: usize,
    depth: u32,
}

/// All statements of a batch, each with the line it begins on.
pub(crate) fn parse(text: &str) -> Result<Vec<(Statement, u32)>> {
    let found = tokens(text)?;
    let mut parser = Parser {
        tokens: &found,
        at: 0,
        depth: 0,
    };
    let mut statements = Vec::new();
    loop {
        while parser.symbol(";") {}
        if parser.ended() {
            return Ok(statements);
        }
        let line = parser.line();
        statements.push((parser.statement()?, line));
    }
}

impl Parser<'_> {
    pub(super) fn ended(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(super) fn line(&self) -> u32 {
        let last = self.tokens.len().saturating_sub(1);
        self.tokens
            .get(self.at.min(last))
            .map_or(1, |lexeme| lexeme.line)
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|lexeme| &lexeme.token)
    }

    pub(super) fn next(&mut self) -> Result<Token> {
        let token = self.peek().cloned().ok_or_else(|| self.wrong())?;
        self.at += 1;
        Ok(token)
    }

    pub(super) fn mark(&self) -> usize {
        self.at
    }

    pub(super) fn back_to(&mut self, mark: usize) {
        self.at = mark;
    }

    /// The error of the token that stands here.
    pub(super) fn wrong(&self) -> SqlError {
        let last = self.tokens.len().saturating_sub(1);
        let near = self
            .tokens
            .get(self.at.min(last))
            .map(|lexeme| lexeme.token.told());
        SqlError::syntax(&near.unwrap_or_default(), self.line())
    }

    /// Whether a keyword stands `ahead`.
    pub(super) fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek_at(ahead), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol)
    }

    /// Takes a keyword where it stands.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    /// Takes several keywords, all or none.
    pub(super) fn words(&mut self, words: &str) -> bool {
        let wanted: Vec<&str> = words.split(' ').collect();
        let found = wanted
            .iter()
            .enumerate()
            .all(|(at, word)| self.is_word_at(at, word));
        if found {
            self.at += wanted.len();
        }
        found
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_words(&mut self, words: &str) -> Result<()> {
        if self.words(words) {
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.symbol(symbol) {
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    /// Runs a production one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        production: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(SqlError::new(
                191,
                15,
                "Some part of your SQL statement is nested too deeply.",
            ));
        }
        let found = production(self);
        self.depth -= 1;
        found
    }

    /// One or more of what `production` takes, between commas.
    pub(super) fn list<T>(
        &mut self,
        mut production: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut found = vec![production(self)?];
        while self.symbol(",") {
            found.push(production(self)?);
        }
        Ok(found)
    }

    /// A list in brackets.
    pub(super) fn bracketed<T>(
        &mut self,
        production: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect("(")?;
        let found = self.list(production)?;
        self.expect(")")?;
        Ok(found)
    }

    pub(super) fn identifier(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Quoted(name)) => Ok(name.clone()),
            Some(Token::Word(name)) if !is_reserved(name) => Ok(name.clone()),
            _ => return Err(self.wrong()),
        }
        .inspect(|_| self.at += 1)
    }

    /// An alias, with or without `AS`.
    pub(super) fn alias(&mut self) -> Result<Option<String>> {
        if self.word("AS") {
            if let Some(Token::Text { text, .. }) = self.peek().cloned() {
                self.at += 1;
                return Ok(Some(text));
            }
            return self.identifier().map(Some);
        }
        match self.peek() {
            Some(Token::Quoted(_)) => self.identifier().map(Some),
            Some(Token::Word(name)) if !is_reserved(name) && !begins_statement(name) => {
                self.identifier().map(Some)
            }
            _ => Ok(None),
        }
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        let mut parts = vec![self.identifier()?];
        while self.symbol(".") {
            // `database..table`: the schema is left out.
            let part = if self.is_symbol(".") {
                String::new()
            } else {
                self.identifier()?
            };
            parts.push(part);
        }
        if parts.len() > 4 {
            Err(self.wrong())
        } else {
            Ok(parts)
        }
    }

    pub(super) fn variable(&mut self) -> Result<String> {
        match self.next()? {
            Token::Variable(name) if !name.starts_with("@@") => Ok(name),
            _ => {
                self.at -= 1;
                Err(self.wrong())
            }
        }
    }

    pub(super) fn integer(&mut self) -> Result<i64> {
        let negative = self.symbol("-");
        let error = self.wrong();
        match self.next()? {
            Token::Number(digits) => digits
                .parse::<i64>()
                .map(|n| if negative { -n } else { n })
                .map_err(|_| error),
            _ => Err(error),
        }
    }

    pub(super) fn text(&mut self) -> Result<String> {
        let error = self.wrong();
        match self.next()? {
            Token::Text { text, .. } => Ok(text),
            _ => Err(error),
        }
    }

    /// `ON` or `OFF`.
    pub(super) fn on_off(&mut self) -> Result<bool> {
        if self.word("ON") {
            return Ok(true);
        }
        self.expect_words("OFF").map(|()| false)
    }

    /// A type as a column or a variable declares it, with its collation.
    pub(super) fn sql_type(&mut self) -> Result<SqlType> {
        let error = self.wrong();
        // `[sys].[int]`, as tools write it.
        let mut name = self.identifier()?;
        while self.symbol(".") {
            name = self.identifier()?;
        }
        if name.eq_ignore_ascii_case("double") && self.word("PRECISION") {
            "float".clone_into(&mut name);
        }
        let varying = matches!(
            name.to_ascii_lowercase().as_str(),
            "char" | "nchar" | "binary"
        ) && self.word("VARYING");
        if varying {
            name = name
                .to_ascii_lowercase()
                .replace("nchar", "nvarchar")
                .replace("char", "varchar")
                .replace("nvarvarchar", "nvarchar")
                .replace("binary", "varbinary");
        }
        let arguments = if self.is_symbol("(") {
            self.bracketed(Self::type_argument)?
        } else {
            Vec::new()
        };
        let collation = if self.word("COLLATE") {
            self.collation()?
        } else {
            Collation::DEFAULT
        };
        let known = SqlType::declared(&name, &arguments, collation);
        known.ok_or_else(|| SqlError {
            line: error.line,
            ..SqlError::new(2715, 16, format!("Cannot find data type {name}."))
        })
    }

    fn type_argument(&mut self) -> Result<u16> {
        if self.word("MAX") {
            return Ok(MAX);
        }
        let error = self.wrong();
        u16::try_from(self.integer()?)
            .ok()
            .filter(|n| *n <= 8000)
            .ok_or(error)
    }

    pub(super) fn collation(&mut self) -> Result<Collation> {
        let name = self.identifier()?;
        Collation::named(&name)
            .ok_or_else(|| SqlError::new(448, 16, format!("Invalid collation '{name}'.")))
    }
}

const RESERVED: &str = "ADD ALL ALTER AND AS ASC BEGIN BETWEEN BY CASE CHECK COLLATE COMMIT CONSTRAINT CREATE \
    CROSS DECLARE DEFAULT DELETE DESC DISTINCT DROP ELSE END EXCEPT EXEC EXECUTE EXISTS FETCH \
    FOR FOREIGN FROM FULL GROUP HAVING IF IN INDEX INNER INSERT INTERSECT INTO IS JOIN LEFT \
    LIKE MERGE NOT NULL ON OPTION OR ORDER OUTER PRIMARY PRINT RIGHT ROLLBACK SAVE SELECT SET \
    TABLE THEN TOP UNION UNIQUE UPDATE USE VALUES WHEN WHERE WITH";

/// Words that are no names and no aliases without brackets.
fn is_reserved(word: &str) -> bool {
    RESERVED
        .split(' ')
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

/// Words that begin a statement, or go on with a query, and are names elsewhere.
fn begins_statement(word: &str) -> bool {
    const WORDS: [&str; 9] = [
        "OFFSET",
        "OUTPUT",
        "RAISERROR",
        "RETURN",
        "THROW",
        "TRUNCATE",
        "WAITFOR",
        "WHILE",
        "GO",
    ];
    WORDS.iter().any(|begins| word.eq_ignore_ascii_case(begins))
}

/// The query of a view, from its text.
pub(crate) fn view_query(text: &str) -> Result<super::syntax::Query> {
    let found = tokens(text)?;
    let mut parser = Parser {
        tokens: &found,
        at: 0,
        depth: 0,
    };
    let query = parser.query()?;
    if parser.ended() {
        Ok(query)
    } else {
        Err(parser.wrong())
    }
}

/// Columns as CREATE TABLE lists them, without the brackets.
pub(crate) fn column_list(text: &str) -> Result<Vec<super::syntax::ColumnDefinition>> {
    let found = tokens(text)?;
    let mut parser = Parser {
        tokens: &found,
        at: 0,
        depth: 0,
    };
    let columns = parser.list(Parser::column_definition)?;
    if parser.ended() {
        Ok(columns)
    } else {
        Err(parser.wrong())
    }
}

/// The parameters of `sp_executesql`, as its second argument declares them.
pub(crate) fn declarations(text: &str) -> Result<Vec<(String, SqlType)>> {
    let found = tokens(text)?;
    let mut parser = Parser {
        tokens: &found,
        at: 0,
        depth: 0,
    };
    if parser.ended() {
        return Ok(Vec::new());
    }
    let declared = parser.list(|parser| {
        let name = parser.variable()?;
        parser.word("AS");
        let sql_type = parser.sql_type()?;
        let _ = parser.word("OUTPUT") || parser.word("OUT");
        Ok((name, sql_type))
    })?;
    if parser.ended() {
        Ok(declared)
    } else {
        Err(parser.wrong())
    }
}
