//! Expressions and conditions of T-SQL, by precedence.

use super::lexer::Token;
use super::parser::Parser;
use super::syntax::{Expression, Order, Over};
use crate::error::Result;

type Taken = Result<Expression>;

fn boxed(expression: Expression) -> Box<Expression> {
    Box::new(expression)
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Taken {
        self.deeper(Self::disjunction)
    }

    fn disjunction(&mut self) -> Taken {
        let mut left = self.conjunction()?;
        while self.word("OR") {
            left = Expression::Or(boxed(left), boxed(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Taken {
        let mut left = self.negation()?;
        while self.word("AND") {
            left = Expression::And(boxed(left), boxed(self.negation()?));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Taken {
        if self.word("NOT") {
            return self
                .deeper(Self::negation)
                .map(|inner| Expression::Not(boxed(inner)));
        }
        self.condition()
    }

    fn condition(&mut self) -> Taken {
        let left = self.sum()?;
        for (written, meant) in [
            ("=", "="),
            ("<>", "<>"),
            ("!=", "<>"),
            ("<=", "<="),
            (">=", ">="),
            ("<", "<"),
            (">", ">"),
            ("!<", ">="),
            ("!>", "<="),
        ] {
            if self.symbol(written) {
                return Ok(Expression::Comparison(
                    meant,
                    boxed(left),
                    boxed(self.sum()?),
                ));
            }
        }
        if self.word("IS") {
            let not = self.word("NOT");
            self.expect_words("NULL")?;
            return Ok(unless(not, Expression::IsNull(boxed(left))));
        }
        let mark = self.mark();
        let not = self.word("NOT");
        if self.word("LIKE") {
            let pattern = boxed(self.sum()?);
            let escape = if self.word("ESCAPE") {
                Some(self.text()?)
            } else {
                None
            };
            return Ok(unless(
                not,
                Expression::Like {
                    value: boxed(left),
                    pattern,
                    escape,
                },
            ));
        }
        if self.word("BETWEEN") {
            let low = self.sum()?;
            self.expect_words("AND")?;
            let high = self.sum()?;
            return Ok(unless(
                not,
                Expression::Between(boxed(left), boxed(low), boxed(high)),
            ));
        }
        if self.word("IN") {
            return self.membership(left).map(|found| unless(not, found));
        }
        self.back_to(mark);
        Ok(left)
    }

    fn membership(&mut self, left: Expression) -> Taken {
        self.expect("(")?;
        let found = if self.is_word("SELECT") || self.is_word("WITH") {
            Expression::InQuery(boxed(left), Box::new(self.query()?))
        } else {
            Expression::In(boxed(left), self.list(Self::expression)?)
        };
        self.expect(")")?;
        Ok(found)
    }

    pub(super) fn sum(&mut self) -> Taken {
        let mut left = self.product()?;
        loop {
            let Some(operator) = self.operator(&["+", "-", "&", "|", "^"]) else {
                return Ok(left);
            };
            left = Expression::Arithmetic(operator, boxed(left), boxed(self.product()?));
        }
    }

    fn product(&mut self) -> Taken {
        let mut left = self.signed()?;
        loop {
            let Some(operator) = self.operator(&["*", "/", "%"]) else {
                return Ok(left);
            };
            left = Expression::Arithmetic(operator, boxed(left), boxed(self.signed()?));
        }
    }

    fn operator(&mut self, known: &[&'static str]) -> Option<&'static str> {
        known.iter().copied().find(|operator| self.symbol(operator))
    }

    fn signed(&mut self) -> Taken {
        if self.symbol("-") {
            // `-9223372036854775808` is one number.
            let inner = self.deeper(Self::signed)?;
            return Ok(match inner {
                Expression::Number(digits) if !digits.starts_with('-') => {
                    Expression::Number(format!("-{digits}"))
                }
                Expression::Float(digits) if !digits.starts_with('-') => {
                    Expression::Float(format!("-{digits}"))
                }
                Expression::Money(digits) if !digits.starts_with('-') => {
                    Expression::Money(format!("-{digits}"))
                }
                other => Expression::Negated(boxed(other)),
            });
        }
        if self.symbol("+") {
            return self.deeper(Self::signed);
        }
        let mut found = self.primary()?;
        while self.word("COLLATE") {
            found = Expression::Collate(boxed(found), self.identifier()?);
        }
        Ok(found)
    }

    fn primary(&mut self) -> Taken {
        if self.word("NULL") {
            return Ok(Expression::Null);
        }
        if self.word("CASE") {
            return self.case();
        }
        if self.word("EXISTS") {
            self.expect("(")?;
            let query = self.query()?;
            self.expect(")")?;
            return Ok(Expression::Exists(Box::new(query)));
        }
        match self.peek().cloned() {
            Some(Token::Symbol("(")) => self.in_brackets(),
            Some(Token::Symbol("*")) | None => Err(self.wrong()),
            Some(Token::Word(_) | Token::Quoted(_)) => self.named(),
            Some(token) => {
                let found = match token {
                    Token::Number(digits) => Expression::Number(digits),
                    Token::Float(digits) => Expression::Float(digits),
                    Token::Money(digits) => Expression::Money(digits),
                    Token::Text { text, national } => Expression::Text { text, national },
                    Token::Binary(bytes) => Expression::Binary(bytes),
                    Token::Variable(name) => Expression::Variable(name),
                    _ => return Err(self.wrong()),
                };
                self.next()?;
                Ok(found)
            }
        }
    }

    fn in_brackets(&mut self) -> Taken {
        self.expect("(")?;
        let found = if self.is_word("SELECT") || self.is_word("WITH") {
            Expression::Query(Box::new(self.query()?))
        } else {
            self.expression()?
        };
        self.expect(")")?;
        Ok(found)
    }

    fn case(&mut self) -> Taken {
        let operand = if self.is_word("WHEN") {
            None
        } else {
            Some(boxed(self.expression()?))
        };
        let mut branches = Vec::new();
        while self.word("WHEN") {
            let when = self.expression()?;
            self.expect_words("THEN")?;
            branches.push((when, self.expression()?));
        }
        let otherwise = if self.word("ELSE") {
            Some(boxed(self.expression()?))
        } else {
            None
        };
        self.expect_words("END")?;
        if branches.is_empty() {
            return Err(self.wrong());
        }
        Ok(Expression::Case {
            operand,
            branches,
            otherwise,
        })
    }

    /// A column or a call.
    fn named(&mut self) -> Taken {
        let call = matches!(self.peek_at(1), Some(Token::Symbol("(")));
        if call {
            for (word, tolerant) in [("CAST", false), ("TRY_CAST", true)] {
                if self.word(word) {
                    return self.cast(tolerant);
                }
            }
            for (word, tolerant) in [("CONVERT", false), ("TRY_CONVERT", true)] {
                if self.word(word) {
                    return self.convert(tolerant);
                }
            }
            for word in ["LEFT", "RIGHT"] {
                if self.word(word) {
                    return self.call(word.to_owned());
                }
            }
        }
        let name = self.name()?;
        if !self.is_symbol("(") {
            return Ok(Expression::Column(name));
        }
        self.call(name.join("."))
    }

    fn cast(&mut self, tolerant: bool) -> Taken {
        self.expect("(")?;
        let value = boxed(self.expression()?);
        self.expect_words("AS")?;
        let to = self.cast_type()?;
        self.expect(")")?;
        Ok(Expression::Cast {
            value,
            to,
            style: None,
            tolerant,
        })
    }

    fn convert(&mut self, tolerant: bool) -> Taken {
        self.expect("(")?;
        let to = self.cast_type()?;
        self.expect(",")?;
        let value = boxed(self.expression()?);
        let style = if self.symbol(",") {
            Some(self.integer()?)
        } else {
            None
        };
        self.expect(")")?;
        Ok(Expression::Cast {
            value,
            to,
            style,
            tolerant,
        })
    }

    /// `varchar` without a length has 30 characters here, and one in a declaration.
    fn cast_type(&mut self) -> Result<crate::types::SqlType> {
        use crate::types::SqlType;
        let bare = !matches!(self.peek_at(1), Some(Token::Symbol("(" | ".")));
        Ok(match self.sql_type()? {
            SqlType::Char(1, collation) if bare => SqlType::Char(30, collation),
            SqlType::VarChar(1, collation) if bare => SqlType::VarChar(30, collation),
            SqlType::NChar(1, collation) if bare => SqlType::NChar(30, collation),
            SqlType::NVarChar(1, collation) if bare => SqlType::NVarChar(30, collation),
            SqlType::Binary(1) if bare => SqlType::Binary(30),
            SqlType::VarBinary(1) if bare => SqlType::VarBinary(30),
            other => other,
        })
    }

    fn call(&mut self, name: String) -> Taken {
        self.expect("(")?;
        let distinct = self.word("DISTINCT");
        let star = self.symbol("*");
        let arguments = if star || self.is_symbol(")") {
            Vec::new()
        } else {
            self.list(Self::expression)?
        };
        self.expect(")")?;
        let over = if self.word("OVER") {
            Some(self.over()?)
        } else {
            None
        };
        Ok(Expression::Call {
            name,
            arguments,
            distinct,
            star,
            over,
        })
    }

    fn over(&mut self) -> Result<Over> {
        self.expect("(")?;
        let partition = if self.words("PARTITION BY") {
            self.list(Self::expression)?
        } else {
            Vec::new()
        };
        let order = self.order_by()?;
        self.expect(")")?;
        Ok(Over { partition, order })
    }

    /// `ORDER BY …`, where it stands.
    pub(super) fn order_by(&mut self) -> Result<Vec<Order>> {
        if !self.words("ORDER BY") {
            return Ok(Vec::new());
        }
        self.list(|parser| {
            let by = parser.expression()?;
            let descending = parser.word("DESC");
            if !descending {
                parser.word("ASC");
            }
            Ok(Order { by, descending })
        })
    }
}

fn unless(not: bool, found: Expression) -> Expression {
    if not {
        Expression::Not(boxed(found))
    } else {
        found
    }
}
