//! Where in a query a fault is that DataFusion tells without a place.
//!
//! The smallest expression without which the fault is gone: expressions are exchanged for `NULL`, one at a time, from
//! the outside in, and the query is planned again. Knows nothing of what the fault is.

use std::ops::ControlFlow;

use connectors::Error;
use datafusion::common::Span;
use datafusion::error::DataFusionError;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    Expr, Spanned, Statement, Value, Visit, VisitMut, Visitor, VisitorMut, visit_relations,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use spec::{SqlFault, SqlFaultKind, SqlPlace};

use super::failure::from_datafusion;
use super::{Session, fault};

/// The most times that one query is planned again to find one place.
const MAX_TRIES: usize = 400;

impl Session {
    /// The error of a query that could not be planned, with the places of what is wrong.
    pub(crate) async fn refused(&self, sql: &str, error: DataFusionError) -> Error {
        let mut faults = fault::read(&error, true);
        for fault in &mut faults {
            // Of these DataFusion knows a place around the fault at best.
            let vague = matches!(fault.kind, SqlFaultKind::Types | SqlFaultKind::UnknownTable);
            if vague || fault.place.is_none() {
                let found = self.locate(sql, fault).await;
                fault.place = found.or(fault.place);
            }
        }
        fault::refused(faults).unwrap_or_else(|| from_datafusion(error))
    }

    async fn locate(&self, sql: &str, fault: &SqlFault) -> Option<SqlPlace> {
        let state = self.context().state();
        let dialect = state.config_options().sql_parser.dialect;
        let Ok(Parsed::Statement(statement)) = state.sql_to_statement(sql, &dialect) else {
            return None;
        };
        if fault.kind == SqlFaultKind::UnknownTable {
            return relation(&statement, fault.about.as_deref()?);
        }
        let mut nodes = Nodes::default();
        let _ = statement.visit(&mut nodes);
        let mut tries = MAX_TRIES;
        let mut at: Option<usize> = None;
        loop {
            let mut without = Vec::new();
            for child in nodes.inside(at) {
                if tries == 0 {
                    break;
                }
                tries -= 1;
                if is_fine_without(&state, &statement, child, fault).await {
                    without.push(child);
                }
            }
            match (without.as_slice(), at) {
                ([only], _) => at = Some(*only),
                ([first, ..], None) => at = Some(*first),
                // Each of several parts is needed for the fault: it is between them.
                _ => break,
            }
        }
        let node = at.map(|at| nodes.call_around(at, fault));
        let span = node.and_then(|node| nodes.found.get(node)?.span);
        match span {
            Some(span) => Some(fault::place(span)),
            None => word(sql, fault.about.as_deref()?),
        }
    }
}

/// Whether the fault is gone when one expression is exchanged for `NULL`.
async fn is_fine_without(
    state: &SessionState,
    statement: &Statement,
    node: usize,
    fault: &SqlFault,
) -> bool {
    let mut changed = statement.clone();
    let _ = VisitMut::visit(&mut changed, &mut Exchange { node, seen: 0 });
    let plan = state.statement_to_plan(Parsed::Statement(Box::new(changed)));
    match Box::pin(plan).await.and_then(|plan| state.optimize(&plan)) {
        Ok(_) => true,
        Err(error) => !fault::read(&error, true)
            .iter()
            .any(|other| other.kind == fault.kind && other.message == fault.message),
    }
}

/// The expressions of a statement, each before those inside it.
#[derive(Default)]
struct Nodes {
    found: Vec<Node>,
    open: Vec<usize>,
}

struct Node {
    span: Option<Span>,
    around: Option<usize>,
    /// The function, where it is a call of one.
    calls: Option<String>,
}

impl Nodes {
    fn inside(&self, around: Option<usize>) -> Vec<usize> {
        let numbered = self.found.iter().enumerate();
        numbered
            .filter(|(_, node)| node.around == around)
            .map(|(number, _)| number)
            .collect()
    }

    /// The call that the fault is about, where it is about one.
    fn call_around(&self, node: usize, fault: &SqlFault) -> usize {
        let mut next = Some(node);
        while let Some(number) = next {
            let Some(here) = self.found.get(number) else {
                break;
            };
            if here.calls.is_some() && here.calls == fault.about {
                return number;
            }
            next = here.around;
        }
        node
    }
}

impl Visitor for Nodes {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let calls = match expr {
            Expr::Function(function) => Some(function.name.to_string().to_lowercase()),
            _ => None,
        };
        self.found.push(Node {
            span: Span::try_from_sqlparser_span(expr.span()),
            around: self.open.last().copied(),
            calls,
        });
        self.open.push(self.found.len() - 1);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.open.pop();
        ControlFlow::Continue(())
    }
}

/// Exchanges one expression, by its number in the order of [`Nodes`].
struct Exchange {
    node: usize,
    seen: usize,
}

impl VisitorMut for Exchange {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.seen == self.node {
            *expr = Expr::Value(Value::Null.into());
            return ControlFlow::Break(());
        }
        self.seen += 1;
        ControlFlow::Continue(())
    }
}

/// Where a table is read.
fn relation(statement: &Statement, name: &str) -> Option<SqlPlace> {
    let found = visit_relations(statement, |relation| {
        let parts = relation.0.iter().filter_map(|part| part.as_ident());
        let parts: Vec<&str> = parts.map(|ident| ident.value.as_str()).collect();
        if parts.join(".") == name {
            ControlFlow::Break(relation.span())
        } else {
            ControlFlow::Continue(())
        }
    });
    Span::try_from_sqlparser_span(found.break_value()?).map(fault::place)
}

/// Where a word first stands.
fn word(sql: &str, word: &str) -> Option<SqlPlace> {
    let tokens = Tokenizer::new(&GenericDialect, sql)
        .tokenize_with_location()
        .ok()?;
    let token = tokens
        .iter()
        .find(|token| matches!(&token.token, Token::Word(found) if found.value == word))?;
    Span::try_from_sqlparser_span(token.span).map(fault::place)
}
