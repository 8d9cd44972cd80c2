//! Statements of T-SQL, one production for each; DDL of tables is in `parse_table`.

use super::lexer::Token;
use super::parser::Parser;
use super::syntax::{BulkColumn, Expression, InsertSource, Isolation, Item, Statement};
use crate::error::Result;

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Result<Statement> {
        self.deeper(Self::statement_here)
    }

    fn statement_here(&mut self) -> Result<Statement> {
        if self.is_word("SELECT") || self.is_symbol("(") {
            return self.query().map(Statement::Select);
        }
        if self.word("WITH") {
            return self.with();
        }
        let Some(Token::Word(word)) = self.peek().cloned() else {
            return Err(self.wrong());
        };
        let mark = self.mark();
        self.next()?;
        let found = match word.to_ascii_uppercase().as_str() {
            "INSERT" => self.insert(None),
            "UPDATE" => self.update(None),
            "DELETE" => self.delete(None),
            "CREATE" => self.create(),
            "DROP" => self.drop_object(),
            "ALTER" => self.alter(),
            "TRUNCATE" => self
                .expect_words("TABLE")
                .and_then(|()| self.name())
                .map(Statement::Truncate),
            "USE" => self.identifier().map(Statement::Use),
            "DECLARE" => self.declare(),
            "SET" => self.set(),
            "BEGIN" => self.begin(),
            "COMMIT" => self.end_of_transaction().map(|_| Statement::Commit),
            "ROLLBACK" => self.end_of_transaction().map(Statement::Rollback),
            "SAVE" => self.save(),
            "IF" => self.condition_of_statements(),
            "EXEC" | "EXECUTE" => self.execute(),
            "PRINT" => self.expression().map(Statement::Print),
            "RAISERROR" => self.raise_error(),
            "THROW" => self.throw(),
            "WAITFOR" => self
                .expect_words("DELAY")
                .and_then(|()| self.text())
                .map(Statement::WaitFor),
            // The first statement of a batch may be a procedure without EXEC.
            _ if mark == 0 => {
                self.back_to(mark);
                self.execute()
            }
            _ => {
                self.back_to(mark);
                Err(self.wrong())
            }
        }?;
        Ok(found)
    }

    /// `WITH CHANGE_TRACKING_CONTEXT (…)` before a change, or named queries.
    fn with(&mut self) -> Result<Statement> {
        if self.word("CHANGE_TRACKING_CONTEXT") {
            self.expect("(")?;
            let Token::Binary(context) = self.next()? else {
                return Err(self.wrong());
            };
            self.expect(")")?;
            let context = Some(context);
            return if self.word("INSERT") {
                self.insert(context)
            } else if self.word("UPDATE") {
                self.update(context)
            } else if self.word("DELETE") {
                self.delete(context)
            } else {
                Err(self.wrong())
            };
        }
        let with = self.list(Self::named_query)?;
        let mut query = self.query()?;
        query.with = with;
        Ok(Statement::Select(query))
    }

    fn output(&mut self) -> Result<Vec<Item>> {
        if !self.word("OUTPUT") {
            return Ok(Vec::new());
        }
        let items = self.list(Self::item)?;
        if self.is_word("INTO") {
            Err(self.wrong())
        } else {
            Ok(items)
        }
    }

    fn insert(&mut self, with: Option<Vec<u8>>) -> Result<Statement> {
        if self.word("BULK") {
            return self.insert_bulk();
        }
        self.word("INTO");
        let table = self.name()?;
        self.table_hints()?;
        let columns = if self.is_symbol("(") {
            self.bracketed(Self::identifier)?
        } else {
            Vec::new()
        };
        let output = self.output()?;
        let source = if self.words("DEFAULT VALUES") {
            InsertSource::Defaults
        } else if self.word("VALUES") {
            InsertSource::Values(self.list(|parser| parser.bracketed(Self::value_or_default))?)
        } else if self.is_word("SELECT") || self.is_word("WITH") || self.is_symbol("(") {
            InsertSource::Query(Box::new(self.query()?))
        } else {
            return Err(self.wrong());
        };
        Ok(Statement::Insert {
            table,
            columns,
            source,
            output,
            with,
        })
    }

    fn value_or_default(&mut self) -> Result<Option<Expression>> {
        if self.word("DEFAULT") {
            Ok(None)
        } else {
            self.expression().map(Some)
        }
    }

    /// The rows come as a message of their own, with their types; here only the order of the columns matters.
    fn insert_bulk(&mut self) -> Result<Statement> {
        let table = self.name()?;
        let columns = self.bracketed(|parser| {
            let name = parser.identifier()?;
            parser.sql_type()?;
            let _ = parser.words("NOT NULL") || parser.word("NULL");
            Ok(BulkColumn { name })
        })?;
        if self.word("WITH") {
            self.bracketed(|parser| {
                parser
                    .identifier()
                    .or_else(|_| parser.expect_words("CHECK").map(|()| String::new()))?;
                if parser.symbol("=") {
                    parser.next()?;
                } else if parser.is_symbol("(") {
                    parser.bracketed(|parser| {
                        parser.identifier()?;
                        let _ = parser.word("ASC") || parser.word("DESC");
                        Ok(())
                    })?;
                }
                Ok(())
            })?;
        }
        Ok(Statement::InsertBulk { table, columns })
    }

    fn update(&mut self, with: Option<Vec<u8>>) -> Result<Statement> {
        let top = self.top()?;
        let table = self.name()?;
        self.table_hints()?;
        self.expect_words("SET")?;
        let sets = self.list(|parser| {
            let mut column = parser.identifier()?;
            while parser.symbol(".") {
                column = parser.identifier()?;
            }
            for operator in ["+", "-", "*", "/"] {
                if parser.symbol(&format!("{operator}=")) {
                    let old = Expression::Column(vec![column.clone()]);
                    let new = Expression::Arithmetic(
                        operator,
                        Box::new(old),
                        Box::new(parser.expression()?),
                    );
                    return Ok((column, new));
                }
            }
            parser.expect("=")?;
            Ok((column, parser.expression()?))
        })?;
        let output = self.output()?;
        let from = if self.word("FROM") {
            self.list(Self::relation)?
        } else {
            Vec::new()
        };
        let filter = self.filter()?;
        Ok(Statement::Update {
            table,
            sets,
            from,
            filter,
            top,
            output,
            with,
        })
    }

    fn delete(&mut self, with: Option<Vec<u8>>) -> Result<Statement> {
        let top = self.top()?;
        self.word("FROM");
        let table = self.name()?;
        self.table_hints()?;
        let output = self.output()?;
        let from = if self.word("FROM") {
            self.list(Self::relation)?
        } else {
            Vec::new()
        };
        let filter = self.filter()?;
        Ok(Statement::Delete {
            table,
            from,
            filter,
            top,
            output,
            with,
        })
    }

    fn declare(&mut self) -> Result<Statement> {
        let variables = self.list(|parser| {
            let name = parser.variable()?;
            parser.word("AS");
            let sql_type = parser.sql_type()?;
            let value = if parser.symbol("=") {
                Some(parser.expression()?)
            } else {
                None
            };
            Ok((name, sql_type, value))
        })?;
        Ok(Statement::Declare(variables))
    }

    fn set(&mut self) -> Result<Statement> {
        if matches!(self.peek(), Some(Token::Variable(_))) {
            let name = self.variable()?;
            self.expect("=")?;
            return self
                .expression()
                .map(|value| Statement::SetVariable(name, value));
        }
        if self.words("TRANSACTION ISOLATION LEVEL") {
            return self.isolation().map(Statement::SetIsolation);
        }
        if self.word("LOCK_TIMEOUT") {
            return self.integer().map(Statement::SetLockTimeout);
        }
        if self.word("IDENTITY_INSERT") {
            let table = self.name()?;
            return self
                .on_off()
                .map(|on| Statement::SetIdentityInsert { table, on });
        }
        self.set_option()
    }

    fn set_option(&mut self) -> Result<Statement> {
        // With these settings, a statement means what it means here. With others it would not.
        const ON_OR_OFF: [&str; 8] = [
            "ANSI_NULL_DFLT_ON",
            "ANSI_DEFAULTS",
            "NUMERIC_ROUNDABORT",
            "ARITHABORT",
            "ARITHIGNORE",
            "ANSI_PADDING",
            "ANSI_WARNINGS",
            "CURSOR_CLOSE_ON_COMMIT",
        ];
        const ON: [&str; 3] = ["ANSI_NULLS", "QUOTED_IDENTIFIER", "CONCAT_NULL_YIELDS_NULL"];
        const OFF: [&str; 5] = [
            "IMPLICIT_TRANSACTIONS",
            "FMTONLY",
            "NOEXEC",
            "PARSEONLY",
            "SHOWPLAN_TEXT",
        ];
        const VALUE: [&str; 6] = [
            "TEXTSIZE",
            "LANGUAGE",
            "DATEFORMAT",
            "DATEFIRST",
            "ROWCOUNT",
            "DEADLOCK_PRIORITY",
        ];
        if self.word("NOCOUNT") {
            return self.on_off().map(Statement::SetCount);
        }
        if self.word("XACT_ABORT") {
            return self.on_off().map(Statement::SetXactAbort);
        }
        let known = self.list(|parser| {
            Ok(ON_OR_OFF
                .iter()
                .chain(&ON)
                .chain(&OFF)
                .find(|option| parser.word(option))
                .copied())
        });
        if let Ok(options) = &known
            && let Some(options) = options.iter().copied().collect::<Option<Vec<&str>>>()
        {
            let on = self.on_off()?;
            let wrong = if on { &OFF[..] } else { &ON[..] };
            return if options.iter().any(|option| wrong.contains(option)) {
                Err(self.wrong())
            } else {
                Ok(Statement::SetNothing)
            };
        }
        if VALUE.iter().any(|option| self.word(option)) {
            if !self.is_symbol("-") {
                self.next()?;
                return Ok(Statement::SetNothing);
            }
            return self.integer().map(|_| Statement::SetNothing);
        }
        Err(self.wrong())
    }

    fn isolation(&mut self) -> Result<Isolation> {
        for (words, level) in [
            ("READ UNCOMMITTED", Isolation::ReadUncommitted),
            ("READ COMMITTED", Isolation::ReadCommitted),
            ("REPEATABLE READ", Isolation::RepeatableRead),
            ("SERIALIZABLE", Isolation::Serializable),
            ("SNAPSHOT", Isolation::Snapshot),
        ] {
            if self.words(words) {
                return Ok(level);
            }
        }
        Err(self.wrong())
    }

    fn begin(&mut self) -> Result<Statement> {
        if self.word("TRANSACTION") || self.word("TRAN") {
            if !self.ends_statement() {
                self.identifier()?;
            }
            return Ok(Statement::Begin);
        }
        let mut statements = Vec::new();
        loop {
            while self.symbol(";") {}
            if self.word("END") {
                return Ok(Statement::Block(statements));
            }
            if self.is_word("TRY") || self.is_word("CATCH") {
                return Err(self.wrong());
            }
            statements.push(self.statement()?);
        }
    }

    /// Whether nothing more can belong to a statement of which all required parts are read.
    fn ends_statement(&self) -> bool {
        match self.peek() {
            None | Some(Token::Symbol(";")) => true,
            Some(Token::Word(word)) => {
                const BEGIN: [&str; 22] = [
                    "SELECT", "INSERT", "UPDATE", "DELETE", "SET", "DECLARE", "COMMIT", "ROLLBACK",
                    "IF", "EXEC", "EXECUTE", "CREATE", "DROP", "ALTER", "BEGIN", "END", "ELSE",
                    "PRINT", "WITH", "TRUNCATE", "WAITFOR", "SAVE",
                ];
                BEGIN.iter().any(|begin| word.eq_ignore_ascii_case(begin))
            }
            Some(_) => false,
        }
    }

    fn end_of_transaction(&mut self) -> Result<Option<String>> {
        let _ = self.word("TRANSACTION") || self.word("TRAN") || self.word("WORK");
        if self.ends_statement() {
            Ok(None)
        } else {
            self.identifier().map(Some)
        }
    }

    fn save(&mut self) -> Result<Statement> {
        if self.word("TRANSACTION") || self.word("TRAN") {
            return self.identifier().map(Statement::Save);
        }
        Err(self.wrong())
    }

    fn condition_of_statements(&mut self) -> Result<Statement> {
        let condition = self.expression()?;
        let then = vec![self.statement()?];
        while self.is_symbol(";") && self.peek_at(1).is_some() && self.is_word_at(1, "ELSE") {
            self.next()?;
        }
        let otherwise = if self.word("ELSE") {
            vec![self.statement()?]
        } else {
            Vec::new()
        };
        Ok(Statement::If {
            condition,
            then,
            otherwise,
        })
    }

    fn execute(&mut self) -> Result<Statement> {
        if self.symbol("(") {
            let text = self.expression()?;
            self.expect(")")?;
            return Ok(Statement::ExecuteText(text));
        }
        let procedure = self.name()?;
        let mut arguments = Vec::new();
        if !self.ends_statement() {
            arguments = self.list(|parser| {
                let named = matches!(parser.peek(), Some(Token::Variable(_)))
                    && parser.peek_at(1) == Some(&Token::Symbol("="));
                let name = if named {
                    let name = parser.variable()?;
                    parser.expect("=")?;
                    Some(name)
                } else {
                    None
                };
                // A bare word is a text here, and only here.
                if let Some(Token::Word(word)) = parser.peek().cloned()
                    && !word.eq_ignore_ascii_case("NULL")
                {
                    parser.next()?;
                    return Ok((
                        name,
                        Expression::Text {
                            text: word,
                            national: true,
                        },
                    ));
                }
                Ok((name, parser.sum()?))
            })?;
        }
        Ok(Statement::Execute {
            procedure,
            arguments,
        })
    }

    fn raise_error(&mut self) -> Result<Statement> {
        let mut arguments = self.bracketed(Self::expression)?.into_iter();
        let found = (
            arguments.next(),
            arguments.next(),
            arguments.next(),
            arguments.next(),
        );
        match found {
            (Some(message), Some(class), Some(_), None) => {
                Ok(Statement::RaiseError { message, class })
            }
            _ => Err(self.wrong()),
        }
    }

    fn throw(&mut self) -> Result<Statement> {
        let number = self.expression()?;
        self.expect(",")?;
        let message = self.expression()?;
        self.expect(",")?;
        self.expression()?;
        Ok(Statement::Throw { number, message })
    }
}
