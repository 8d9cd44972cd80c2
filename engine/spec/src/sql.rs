//! SQL of transforms and rules: what it reads, and whether it is what it has to be. The only file that knows the parser.
//!
//! A name of a table means what is written, quoted or not: `Visit` is not `visit`, as in the engine's session. Positions
//! are lines and columns in the SQL text itself; where that text lies in a file is somebody else's knowledge.

pub mod previous;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    SelectItem, SetExpr, Spanned, Statement, TableFactor, Visit, Visitor,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The most tokens a query may have.
const MAX_TOKENS: usize = 50_000;
/// The most tokens between two commas, brackets or clauses: a chain `a + b + c …` nests as deep as it is long.
const MAX_CHAIN: usize = 2_000;
/// How deep brackets and subqueries may be nested.
const MAX_DEPTH: usize = 50;

/// A place in the SQL text; lines and columns from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column; it counts characters.
    pub column: u64,
    /// How many characters; what goes beyond the line does not count.
    pub length: u64,
}

/// Why a text is not what it has to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SqlError {
    Syntax {
        message: String,
        place: Option<Place>,
    },
    NotAQuery {
        message: String,
        place: Option<Place>,
    },
}

/// A table that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Its parts as they are written, without quotes.
    pub(crate) parts: Vec<String>,
    pub(crate) place: Place,
}

/// What a condition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// It is about all rows together.
    pub(crate) aggregate: bool,
    /// It reads other rows than those it is about.
    pub(crate) subquery: bool,
    /// Where it compares with rows before.
    pub(crate) previous: Vec<Previous>,
}

/// A call of `previous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Previous {
    /// Where its name stands.
    pub(crate) place: Place,
    /// Why it means nothing.
    pub(crate) misuse: Option<Misuse>,
}

/// Why a call of `previous` means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misuse {
    /// It stands in an aggregate function, or in another call.
    Nested,
    /// What it is given is not about all rows.
    NotOfAll,
    /// It is given no value, or several, or words of aggregate functions.
    NotOne,
}

/// The tables that a query reads: each once for every place.
pub(crate) fn relations(sql: &str) -> Result<Vec<Relation>, SqlError> {
    read(sql).map_err(|error| match error {
        SqlError::NotAQuery { message, place } => SqlError::NotAQuery {
            message,
            place: place.map(|place| widen(sql, place)),
        },
        syntax @ SqlError::Syntax { .. } => syntax,
    })
}

fn read(sql: &str) -> Result<Vec<Relation>, SqlError> {
    let tokens = tokens(sql)?;
    let mut parser = Parser::new(&GenericDialect)
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(tokens);
    let statements = parser
        .parse_statements()
        .map_err(|error| syntax(sql, error))?;
    let statement = match statements.as_slice() {
        [statement] => statement,
        [] => return Err(not_a_query("there is no query here", None)),
        [_, second, ..] => {
            return Err(not_a_query(
                "this is a second statement",
                Some(second.span().start),
            ));
        }
    };
    let mut reads = Reads::default();
    match statement.visit(&mut reads) {
        ControlFlow::Continue(()) => Ok(reads.relations),
        ControlFlow::Break(error) => Err(*error),
    }
}

/// The names of the columns that a query returns, where its text alone tells all of them.
pub(crate) fn columns(sql: &str) -> Option<Vec<String>> {
    let mut parser = Parser::new(&GenericDialect)
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(tokens(sql).ok()?);
    let statements = parser.parse_statements().ok()?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return None;
    };
    let mut body = query.body.as_ref();
    // Of two queries the first gives the names.
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(query) => body = query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return None,
        }
    };
    let names = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name.value.clone()),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            // Of more parts the last may be one of a column's own.
            (parts.len() == 2).then(|| parts.last().map(|part| part.value.clone()))?
        }
        _ => None,
    });
    names.collect()
}

/// What a rule's condition is.
pub(crate) fn condition(sql: &str) -> Result<Condition, SqlError> {
    let tokens = tokens(sql)?;
    let mut parser = Parser::new(&GenericDialect)
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(tokens);
    let expr = parser.parse_expr().map_err(|error| syntax(sql, error))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        let message = format!("the condition ends before `{}`", rest.token);
        return Err(SqlError::Syntax {
            message,
            place: Some(at(rest.span.start, 1)),
        });
    }
    let mut looks = Looks::default();
    let _: ControlFlow<()> = expr.visit(&mut looks);
    Ok(Condition {
        aggregate: looks.aggregate,
        subquery: looks.subquery,
        previous: looks.previous,
    })
}

/// The column of a text that says how a table is cut or sorted: `at` of `month(at)`, `bucket(16, at)` and `at desc`.
pub fn column_of(text: &str) -> &str {
    let inside = text.split_once('(').map_or(text, |(_, rest)| rest);
    let inside = inside.split(')').next().unwrap_or(inside);
    let last = inside.rsplit(',').next().unwrap_or(inside);
    last.split_whitespace().next().unwrap_or_default()
}

/// Whether a text is a plain column name.
pub(crate) fn is_column(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

fn at(location: Location, length: u64) -> Place {
    Place {
        line: location.line,
        column: location.column,
        length,
    }
}

fn not_a_query(message: &str, location: Option<Location>) -> SqlError {
    let location = location.filter(|location| location.line > 0);
    SqlError::NotAQuery {
        message: message.to_owned(),
        place: location.map(|location| at(location, 1)),
    }
}

/// Cuts a text into tokens, and refuses one that would nest deeper than a parser may recurse.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    let tokens = Tokenizer::new(&GenericDialect, sql)
        .tokenize_with_location()
        .map_err(|error| SqlError::Syntax {
            message: error.message.to_lowercase(),
            place: Some(at(error.location, 1)),
        })?;
    let mut chains = vec![0_usize];
    let mut unions = 0_usize;
    for (number, token) in tokens.iter().enumerate() {
        if matches!(token.token, Token::Whitespace(_)) {
            continue;
        }
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => chains.push(0),
            Token::RParen | Token::RBracket | Token::RBrace if chains.len() > 1 => {
                chains.pop();
            }
            Token::Comma => {
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
            }
            Token::Word(word)
                if matches!(
                    word.keyword,
                    Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT
                ) =>
            {
                unions += 1;
            }
            _ => {}
        }
        if let Some(chain) = chains.last_mut() {
            *chain += 1;
            if *chain > MAX_CHAIN
                || unions > MAX_CHAIN
                || number > MAX_TOKENS
                || chains.len() > MAX_DEPTH * 4
            {
                let message = "this is too long to be read safely".to_owned();
                return Err(SqlError::Syntax {
                    message,
                    place: Some(at(token.span.start, 1)),
                });
            }
        }
    }
    Ok(tokens)
}

/// The parser's sentence without the place in it, and the place.
fn syntax(sql: &str, error: ParserError) -> SqlError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => "this is nested too deep".to_owned(),
    };
    let (message, place) = match text.rsplit_once(" at Line: ") {
        Some((message, rest)) => (
            message.to_owned(),
            location(rest).map(|place| widen(sql, place)),
        ),
        None => (text, None),
    };
    let message = plain(&message);
    SqlError::Syntax { message, place }
}

/// `Expected: ), found: as` in our way of writing.
fn plain(sentence: &str) -> String {
    let parts = sentence
        .strip_prefix("Expected: ")
        .and_then(|rest| rest.rsplit_once(", found: "));
    if let Some((expected, found)) = parts {
        let expected = match expected {
            "end of statement" => "the end of the statement".to_owned(),
            phrase if phrase.contains(char::is_lowercase) => phrase.to_owned(),
            token => format!("`{token}`"),
        };
        return if found == "EOF" {
            format!("expected {expected}, found the end of the text")
        } else {
            format!("expected {expected}, found `{found}`")
        };
    }
    let mut chars = sentence.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

/// The place of the whole token that starts there.
fn widen(sql: &str, place: Place) -> Place {
    let tokens = Tokenizer::new(&GenericDialect, sql)
        .tokenize_with_location()
        .unwrap_or_default();
    let token = tokens.iter().find(|token| {
        (token.span.start.line, token.span.start.column) == (place.line, place.column)
    });
    match token {
        Some(token) if token.span.end.line == place.line => Place {
            length: token.span.end.column.saturating_sub(place.column).max(1),
            ..place
        },
        _ => place,
    }
}

fn location(text: &str) -> Option<Place> {
    let (line, column) = text.split_once(", Column: ")?;
    let (line, column) = (line.trim().parse().ok()?, column.trim().parse().ok()?);
    (line > 0).then_some(Place {
        line,
        column,
        length: 1,
    })
}

/// Collects relations, each query with the names that its `WITH` and those around it define.
#[derive(Default)]
struct Reads {
    relations: Vec<Relation>,
    scopes: Vec<BTreeSet<String>>,
    /// What is visible in a query of a `WITH` that was not entered yet, by the query's address.
    pending: BTreeMap<usize, BTreeSet<String>>,
    function: bool,
    statements: usize,
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query).addr()
}

impl Visitor for Reads {
    type Break = Box<SqlError>;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Box<SqlError>> {
        self.statements += 1;
        match statement {
            Statement::Query(_) if self.statements == 1 => ControlFlow::Continue(()),
            _ => {
                let message = "this is no query";
                ControlFlow::Break(Box::new(not_a_query(message, Some(statement.span().start))))
            }
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Box<SqlError>> {
        let outer = self.scopes.last().cloned().unwrap_or_default();
        let mut visible = self.pending.remove(&address(query)).unwrap_or(outer);
        if let Some(with) = &query.with {
            let names: BTreeSet<String> = with
                .cte_tables
                .iter()
                .map(|cte| cte.alias.name.value.clone())
                .collect();
            for cte in &with.cte_tables {
                let mut inside = visible.clone();
                if with.recursive {
                    inside.extend(names.iter().cloned());
                }
                self.pending.insert(address(&cte.query), inside);
                visible.insert(cte.alias.name.value.clone());
            }
        }
        self.scopes.push(visible);
        if let SetExpr::Select(select) = query.body.as_ref()
            && select.into.is_some()
        {
            let message = "`SELECT … INTO` writes a table; a transform only reads";
            return ControlFlow::Break(Box::new(not_a_query(message, Some(select.span().start))));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Box<SqlError>> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Box<SqlError>> {
        // `generate_series(1, 10)` is a function, not a table.
        self.function = matches!(factor, TableFactor::Table { args: Some(_), .. });
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Box<SqlError>> {
        if std::mem::take(&mut self.function) {
            return ControlFlow::Continue(());
        }
        let parts: Vec<String> = relation
            .0
            .iter()
            .filter_map(|part| part.as_ident())
            .map(|ident| ident.value.clone())
            .collect();
        let defined = matches!(parts.as_slice(), [name] if self.scopes.last().is_some_and(|scope| scope.contains(name)));
        if !defined {
            let span = relation.span();
            let length = if span.end.line == span.start.line {
                span.end.column.saturating_sub(span.start.column)
            } else {
                1
            };
            self.relations.push(Relation {
                parts,
                place: at(span.start, length.max(1)),
            });
        }
        ControlFlow::Continue(())
    }
}

/// Aggregate functions of the engine. A condition that calls one outside a window is about all rows together.
const AGGREGATES: &[&str] = &[
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "every",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "mean",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var",
    "var_pop",
    "var_population",
    "var_samp",
    "var_sample",
];

/// Looks for aggregates, subqueries and calls of `previous` in a condition.
#[derive(Default)]
struct Looks {
    aggregate: bool,
    subquery: bool,
    previous: Vec<Previous>,
    /// The functions around an expression that are about all rows.
    around: Vec<About>,
}

/// A function that is about all rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Aggregate,
    /// A call of `previous`: its number, and whether an aggregate was seen in it.
    Previous(usize, bool),
}

impl Looks {
    fn enter(&mut self, function: &Function, name: &Ident) -> Option<About> {
        // Functions are the engine's own: it takes their names in any case.
        let word = name.value.to_ascii_lowercase();
        if word == previous::NAME {
            let misuse = if !self.around.is_empty() {
                Some(Misuse::Nested)
            } else if has_one_value(function) {
                None
            } else {
                Some(Misuse::NotOne)
            };
            let length = name.value.chars().count() as u64;
            let place = at(name.span.start, length);
            self.previous.push(Previous { place, misuse });
            return Some(About::Previous(self.previous.len() - 1, false));
        }
        if function.over.is_some() || !AGGREGATES.contains(&word.as_str()) {
            return None;
        }
        let mut calls = self.around.iter_mut();
        let call = calls.find_map(|about| match about {
            About::Previous(_, seen) => Some(seen),
            About::Aggregate => None,
        });
        match call {
            Some(seen) => *seen = true,
            None => self.aggregate = true,
        }
        Some(About::Aggregate)
    }
}

/// Whether a function is given one value, and none of the words that aggregates take.
fn has_one_value(function: &Function) -> bool {
    let plain = function.over.is_none()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.within_group.is_empty();
    let FunctionArguments::List(list) = &function.args else {
        return false;
    };
    let one = matches!(
        list.args.as_slice(),
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(_))]
    );
    plain && one && list.duplicate_treatment.is_none() && list.clauses.is_empty()
}

/// The name of a function that is called.
fn called(expr: &Expr) -> Option<(&Function, &Ident)> {
    let Expr::Function(function) = expr else {
        return None;
    };
    Some((function, function.name.0.last()?.as_ident()?))
}

impl Visitor for Looks {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Some((function, name)) = called(expr)
            && let Some(about) = self.enter(function, name)
        {
            self.around.push(about);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Some((function, name)) = called(expr) else {
            return ControlFlow::Continue(());
        };
        let word = name.value.to_ascii_lowercase();
        let entered = word == previous::NAME
            || function.over.is_none() && AGGREGATES.contains(&word.as_str());
        if entered
            && let Some(About::Previous(number, false)) = self.around.pop()
            && let Some(call) = self.previous.get_mut(number)
        {
            call.misuse = call.misuse.or(Some(Misuse::NotOfAll));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.subquery = true;
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<String> {
        relations(sql)
            .unwrap()
            .into_iter()
            .map(|relation| relation.parts.join("."))
            .collect()
    }

    #[test]
    fn a_list_tells_the_columns_and_a_star_does_not() {
        let of = |sql| columns(sql).map(|names| names.join(" "));
        let told =
            of("with x as (select 1) select a, o.\"B\", c + 1 as d from o union select 1, 2, 3");
        assert_eq!(told.as_deref(), Some("a B d"));
        for open in [
            "select * from o",
            "select o.* from o",
            "select a + 1 from o",
            "values (1)",
        ] {
            assert_eq!(of(open), None, "{open}");
        }
    }

    #[test]
    fn forms_are_about_a_column() {
        for text in [
            "at",
            " at desc",
            "month(at)",
            "bucket( 16 , at )",
            "at asc nulls last",
        ] {
            assert_eq!(column_of(text), "at", "{text}");
        }
    }

    #[test]
    fn names_of_with_are_not_tables() {
        assert_eq!(
            names("with a as (select * from visit) select * from a join medicine.ward using (id)"),
            ["visit", "medicine.ward"]
        );
        assert_eq!(
            names("with visit as (select * from visit) select * from visit"),
            ["visit"]
        );
        assert_eq!(
            names("with recursive t as (select 1 union all select * from t) select * from t"),
            [""; 0]
        );
        assert_eq!(
            names(
                "with a as (select 1), b as (select * from a) select * from b, (select * from a) x"
            ),
            [""; 0]
        );
        assert_eq!(
            names("select * from t where exists (with q as (select * from u) select * from q)"),
            ["t", "u"]
        );
    }

    #[test]
    fn functions_are_not_tables() {
        assert_eq!(names("select * from generate_series(1, 3) g, t"), ["t"]);
    }

    #[test]
    fn names_are_as_written() {
        assert_eq!(
            names("select * from Visit, \"Visit\", visit, Medicine.Ward"),
            ["Visit", "Visit", "visit", "Medicine.Ward"]
        );
        assert_eq!(
            names("with A as (select 1) select * from A, a"),
            ["a"],
            "a name of a `WITH` is one, too"
        );
    }

    #[test]
    fn only_one_query() {
        for sql in [
            "delete from t",
            "select 1; select 2",
            "",
            "select * into x from t",
            "drop table t",
            "insert into t select 1",
        ] {
            assert!(
                matches!(relations(sql), Err(SqlError::NotAQuery { .. })),
                "{sql}"
            );
        }
    }

    #[test]
    fn errors_have_a_place() {
        let Err(SqlError::Syntax { place, .. }) = relations("select *\nfrom from x y z") else {
            panic!("accepted")
        };
        assert_eq!(place.map(|place| place.line), Some(2));
    }

    #[test]
    fn long_chains_do_not_overflow() {
        for link in [" + 1", " or a = 1", "::int", " is null", " union select 1"] {
            let _ = relations(&format!("select 1{}", link.repeat(40_000)));
            let _ = relations(&format!("select 1{}", link.repeat(600)));
        }
        let _ = relations(&format!("select {}1", "(".repeat(10_000)));
        let _ = relations(&format!("select {}1", "- ".repeat(1_900)));
        let _ = relations(&format!("select {}1", "not ".repeat(1_900)));
        let _ = relations(&format!("select 1 from a{}", " join b on true".repeat(300)));
    }

    #[test]
    fn aggregates_are_known() {
        let is = |sql: &str| condition(sql).unwrap().aggregate;
        assert!(is("COUNT(*) > 0") && is("count(*) > 0") && is("max(a) - min(a) < 3"));
        assert!(
            !is("a is not null") && !is("length(a) > 2") && !is("sum(a) over (partition by b) > 0")
        );
        assert!(condition("a in (select b from c)").unwrap().subquery);
        assert!(condition("a > 1 b").is_err());
    }

    #[test]
    fn what_was_before_is_about_all_rows() {
        let misuse = |sql: &str| {
            let condition = condition(sql).unwrap();
            condition.previous.iter().find_map(|call| call.misuse)
        };
        for good in [
            "count(*) > 0.8 * previous(count(*))",
            "sum(a) - Previous(sum(a) + count(b)) < 3",
        ] {
            assert_eq!(misuse(good), None, "{good}");
            assert!(condition(good).unwrap().aggregate, "{good}");
        }
        assert!(!condition("previous(count(*)) > 1").unwrap().aggregate);
        for (bad, why) in [
            ("sum(previous(count(*))) > 1", Misuse::Nested),
            ("count(*) > previous(previous(count(*)))", Misuse::Nested),
            ("count(*) > previous(a)", Misuse::NotOfAll),
            ("count(*) > previous()", Misuse::NotOne),
            ("count(*) > previous(count(*), 1)", Misuse::NotOne),
            ("count(*) > previous(DISTINCT max(a))", Misuse::NotOne),
        ] {
            assert_eq!(misuse(bad), Some(why), "{bad}");
        }
    }
}
