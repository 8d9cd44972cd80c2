//! Queries of T-SQL: SELECT with all its clauses, and what may stand in FROM.

use super::lexer::Token;
use super::parser::Parser;
use super::syntax::{Body, Expression, Item, Join, Query, Relation, Select};
use crate::error::Result;

/// Hints on locks.
const HINTS: [&str; 10] = [
    "NOLOCK",
    "READUNCOMMITTED",
    "READCOMMITTED",
    "READCOMMITTEDLOCK",
    "REPEATABLEREAD",
    "HOLDLOCK",
    "ROWLOCK",
    "TABLOCK",
    "PAGLOCK",
    "UPDLOCK",
];

impl Parser<'_> {
    pub(super) fn query(&mut self) -> Result<Query> {
        self.deeper(Self::query_here)
    }

    fn query_here(&mut self) -> Result<Query> {
        let with = if self.word("WITH") {
            self.list(Self::named_query)?
        } else {
            Vec::new()
        };
        let mut query = self.query_without_with()?;
        query.with = with;
        Ok(query)
    }

    pub(super) fn named_query(&mut self) -> Result<(String, Vec<String>, Query)> {
        let name = self.identifier()?;
        let columns = if self.is_symbol("(") {
            self.bracketed(Self::identifier)?
        } else {
            Vec::new()
        };
        self.expect_words("AS")?;
        self.expect("(")?;
        let query = self.query()?;
        self.expect(")")?;
        Ok((name, columns, query))
    }

    fn query_without_with(&mut self) -> Result<Query> {
        let mut body = self.query_term()?;
        loop {
            let operator = if self.words("UNION ALL") {
                "UNION ALL"
            } else if self.word("UNION") {
                "UNION"
            } else if self.word("EXCEPT") {
                "EXCEPT"
            } else if self.word("INTERSECT") {
                "INTERSECT"
            } else {
                break;
            };
            body = Body::Set(operator, Box::new(body), Box::new(self.query_term()?));
        }
        let order = self.order_by()?;
        let (mut offset, mut fetch) = (None, None);
        if !order.is_empty() && self.word("OFFSET") {
            offset = Some(self.sum()?);
            let _ = self.word("ROWS") || self.word("ROW");
            if self.word("FETCH") {
                let _ = self.word("NEXT") || self.word("FIRST");
                fetch = Some(self.sum()?);
                let _ = self.word("ROWS") || self.word("ROW");
                self.expect_words("ONLY")?;
            }
        }
        self.options()?;
        Ok(Query {
            with: Vec::new(),
            body,
            order,
            offset,
            fetch,
        })
    }

    /// Hints on how to run a query change none of its rows.
    fn options(&mut self) -> Result<()> {
        if !self.word("OPTION") {
            return Ok(());
        }
        self.expect("(")?;
        let known = self.list(|parser| {
            Ok(parser.word("RECOMPILE")
                || parser.words("ORDER GROUP")
                || parser.words("KEEP PLAN")
                || parser.words("FORCE ORDER")
                || parser.words("OPTIMIZE FOR UNKNOWN")
                || (parser.word("MAXDOP") || parser.word("FAST") || parser.word("MAXRECURSION"))
                    && parser.integer().is_ok())
        })?;
        if known.contains(&false) {
            return Err(self.wrong());
        }
        self.expect(")")
    }

    fn query_term(&mut self) -> Result<Body> {
        if self.symbol("(") {
            let inner = self.deeper(|parser| {
                let mut body = parser.query_term()?;
                while parser.words("UNION ALL") {
                    body = Body::Set("UNION ALL", Box::new(body), Box::new(parser.query_term()?));
                }
                Ok(body)
            })?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.expect_words("SELECT")?;
        let distinct = self.word("DISTINCT");
        if !distinct {
            self.word("ALL");
        }
        let top = self.top()?;
        let items = self.list(Self::item)?;
        let from = if self.word("FROM") {
            self.list(Self::relation)?
        } else {
            Vec::new()
        };
        let filter = self.filter()?;
        let group = if self.words("GROUP BY") {
            self.list(Self::expression)?
        } else {
            Vec::new()
        };
        let having = if self.word("HAVING") {
            Some(self.expression()?)
        } else {
            None
        };
        Ok(Body::Select(Box::new(Select {
            distinct,
            top,
            items,
            from,
            filter,
            group,
            having,
        })))
    }

    pub(super) fn top(&mut self) -> Result<Option<Expression>> {
        if !self.word("TOP") {
            return Ok(None);
        }
        let count = if self.symbol("(") {
            let count = self.expression()?;
            self.expect(")")?;
            count
        } else {
            Expression::Number(self.integer()?.to_string())
        };
        if self.is_word("PERCENT") || self.is_word("WITH") {
            return Err(self.wrong());
        }
        Ok(Some(count))
    }

    pub(super) fn filter(&mut self) -> Result<Option<Expression>> {
        if self.word("WHERE") {
            self.expression().map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn item(&mut self) -> Result<Item> {
        if self.symbol("*") {
            return Ok(Item::Star(None));
        }
        if let Some(Token::Variable(name)) = self.peek().cloned()
            && !name.starts_with("@@")
            && self.peek_at(1) == Some(&Token::Symbol("="))
        {
            self.next()?;
            self.next()?;
            return self.expression().map(|value| Item::Assign(name, value));
        }
        let named = matches!(self.peek(), Some(Token::Word(_) | Token::Quoted(_)));
        if named
            && self.peek_at(1) == Some(&Token::Symbol("."))
            && self.peek_at(2) == Some(&Token::Symbol("*"))
        {
            let name = self.identifier()?;
            self.next()?;
            self.next()?;
            return Ok(Item::Star(Some(name)));
        }
        if named && self.peek_at(1) == Some(&Token::Symbol("=")) {
            let alias = self.identifier()?;
            self.next()?;
            return self
                .expression()
                .map(|value| Item::Value(value, Some(alias)));
        }
        let value = self.expression()?;
        let alias = self.alias()?;
        Ok(Item::Value(value, alias))
    }

    pub(super) fn relation(&mut self) -> Result<Relation> {
        let mut left = self.relation_alone()?;
        loop {
            let kind = if self.words("CROSS JOIN") {
                Join::Cross
            } else if self.words("CROSS APPLY") {
                Join::CrossApply
            } else if self.words("OUTER APPLY") {
                Join::OuterApply
            } else if self.words("INNER JOIN") || self.word("JOIN") {
                Join::Inner
            } else if self.words("LEFT OUTER JOIN") || self.words("LEFT JOIN") {
                Join::Left
            } else if self.words("RIGHT OUTER JOIN") || self.words("RIGHT JOIN") {
                Join::Right
            } else if self.words("FULL OUTER JOIN") || self.words("FULL JOIN") {
                Join::Full
            } else {
                return Ok(left);
            };
            let right = Box::new(self.relation_alone()?);
            let on = match kind {
                Join::Cross | Join::CrossApply | Join::OuterApply => None,
                _ => {
                    self.expect_words("ON")?;
                    Some(self.expression()?)
                }
            };
            left = Relation::Join {
                kind,
                left: Box::new(left),
                right,
                on,
            };
        }
    }

    fn relation_alone(&mut self) -> Result<Relation> {
        if self.is_symbol("(") {
            return self.deeper(Self::relation_in_brackets);
        }
        if self.is_word("CHANGETABLE") && self.peek_at(1) == Some(&Token::Symbol("(")) {
            self.next()?;
            return self.change_table();
        }
        let name = self.name()?;
        if self.symbol("(") {
            let arguments = if self.is_symbol(")") {
                Vec::new()
            } else {
                self.list(Self::expression)?
            };
            self.expect(")")?;
            return Ok(Relation::Function {
                name,
                arguments,
                alias: self.alias()?,
            });
        }
        let alias = self.alias()?;
        self.table_hints()?;
        Ok(Relation::Table { name, alias })
    }

    /// Hints on locks: PostgreSQL's readers take none.
    pub(super) fn table_hints(&mut self) -> Result<()> {
        if !(self.is_word("WITH") && self.peek_at(1) == Some(&Token::Symbol("("))) {
            return Ok(());
        }
        self.next()?;
        let known = self.bracketed(|parser| Ok(HINTS.iter().any(|hint| parser.word(hint))))?;
        if known.contains(&false) {
            Err(self.wrong())
        } else {
            Ok(())
        }
    }

    fn relation_in_brackets(&mut self) -> Result<Relation> {
        self.expect("(")?;
        if self.word("VALUES") {
            let rows = self.list(|parser| parser.bracketed(Self::expression))?;
            self.expect(")")?;
            let (alias, columns) = self.derived_alias()?;
            return Ok(Relation::Values {
                rows,
                alias,
                columns,
            });
        }
        if self.is_word("SELECT") || self.is_word("WITH") {
            let query = Box::new(self.query()?);
            self.expect(")")?;
            let (alias, columns) = self.derived_alias()?;
            return Ok(Relation::Derived {
                query,
                alias,
                columns,
            });
        }
        let inner = self.relation()?;
        self.expect(")")?;
        Ok(inner)
    }

    fn derived_alias(&mut self) -> Result<(String, Vec<String>)> {
        let alias = self.alias()?.ok_or_else(|| self.wrong())?;
        let columns = if self.is_symbol("(") {
            self.bracketed(Self::identifier)?
        } else {
            Vec::new()
        };
        Ok((alias, columns))
    }

    fn change_table(&mut self) -> Result<Relation> {
        self.expect("(")?;
        if self.word("CHANGES") {
            let table = self.name()?;
            self.expect(",")?;
            let since = self.expression()?;
            self.expect(")")?;
            let alias = self.alias()?.ok_or_else(|| self.wrong())?;
            return Ok(Relation::Changes {
                table,
                since,
                alias,
            });
        }
        self.expect_words("VERSION")?;
        let table = self.name()?;
        self.expect(",")?;
        let columns = self.bracketed(Self::identifier)?;
        self.expect(",")?;
        let values = self.bracketed(Self::expression)?;
        self.expect(")")?;
        let alias = self.alias()?.ok_or_else(|| self.wrong())?;
        Ok(Relation::Version {
            table,
            columns,
            values,
            alias,
        })
    }
}
