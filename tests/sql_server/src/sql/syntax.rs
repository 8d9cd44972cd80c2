//! The T-SQL that is known, as values. What has no place here is error 102.
//!
//! Knows the shape of statements. Knows no table, no type's meaning and no PostgreSQL.

use crate::types::SqlType;

/// `[server.][database.][schema.]name`, the last part last.
pub(crate) type Name = Vec<String>;

#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Null,
    Number(String),
    Float(String),
    Money(String),
    Text {
        text: String,
        national: bool,
    },
    Binary(Vec<u8>),
    Variable(String),
    Column(Name),
    Negated(Box<Self>),
    /// `+ - * / % & | ^`
    Arithmetic(&'static str, Box<Self>, Box<Self>),
    /// `= <> < <= > >=`
    Comparison(&'static str, Box<Self>, Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    IsNull(Box<Self>),
    Like {
        value: Box<Self>,
        pattern: Box<Self>,
        escape: Option<String>,
    },
    Between(Box<Self>, Box<Self>, Box<Self>),
    In(Box<Self>, Vec<Self>),
    InQuery(Box<Self>, Box<Query>),
    Exists(Box<Query>),
    Case {
        operand: Option<Box<Self>>,
        branches: Vec<(Self, Self)>,
        otherwise: Option<Box<Self>>,
    },
    /// CAST and CONVERT; `tolerant` where a failure is NULL.
    Cast {
        value: Box<Self>,
        to: SqlType,
        style: Option<i64>,
        tolerant: bool,
    },
    Call {
        name: String,
        arguments: Vec<Self>,
        distinct: bool,
        star: bool,
        over: Option<Over>,
    },
    Query(Box<Query>),
    Collate(Box<Self>, String),
}

/// `OVER (…)`
#[derive(Clone, Debug)]
pub(crate) struct Over {
    pub(crate) partition: Vec<Expression>,
    pub(crate) order: Vec<Order>,
}

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) by: Expression,
    pub(crate) descending: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) with: Vec<(String, Vec<String>, Self)>,
    pub(crate) body: Body,
    pub(crate) order: Vec<Order>,
    pub(crate) offset: Option<Expression>,
    pub(crate) fetch: Option<Expression>,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Select(Box<Select>),
    /// `UNION`, `UNION ALL`, `EXCEPT` or `INTERSECT`
    Set(&'static str, Box<Self>, Box<Self>),
}

#[derive(Clone, Debug)]
pub(crate) struct Select {
    pub(crate) distinct: bool,
    pub(crate) top: Option<Expression>,
    pub(crate) items: Vec<Item>,
    pub(crate) from: Vec<Relation>,
    pub(crate) filter: Option<Expression>,
    pub(crate) group: Vec<Expression>,
    pub(crate) having: Option<Expression>,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// `*` or `name.*`
    Star(Option<String>),
    Value(Expression, Option<String>),
    /// `@name = value`
    Assign(String, Expression),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    Inner,
    Left,
    Right,
    Full,
    Cross,
    CrossApply,
    OuterApply,
}

#[derive(Clone, Debug)]
pub(crate) enum Relation {
    Table {
        name: Name,
        alias: Option<String>,
    },
    Derived {
        query: Box<Query>,
        alias: String,
        columns: Vec<String>,
    },
    Values {
        rows: Vec<Vec<Expression>>,
        alias: String,
        columns: Vec<String>,
    },
    Join {
        kind: Join,
        left: Box<Self>,
        right: Box<Self>,
        on: Option<Expression>,
    },
    /// `CHANGETABLE(CHANGES table, since)`
    Changes {
        table: Name,
        since: Expression,
        alias: String,
    },
    /// `CHANGETABLE(VERSION table, (columns), (values))`
    Version {
        table: Name,
        columns: Vec<String>,
        values: Vec<Expression>,
        alias: String,
    },
    Function {
        name: Name,
        arguments: Vec<Expression>,
        alias: Option<String>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct ColumnDefinition {
    pub(crate) name: String,
    pub(crate) sql_type: SqlType,
    /// `None` where nothing was said.
    pub(crate) nullable: Option<bool>,
    pub(crate) identity: Option<(i64, i64)>,
    pub(crate) default: Option<Expression>,
    pub(crate) constraints: Vec<TableConstraint>,
}

#[derive(Clone, Debug)]
pub(crate) struct TableConstraint {
    pub(crate) name: Option<String>,
    pub(crate) kind: ConstraintKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ConstraintKind {
    Key {
        primary: bool,
        clustered: Option<bool>,
        columns: Vec<(String, bool)>,
    },
    Foreign {
        columns: Vec<String>,
        table: Name,
        referenced: Vec<String>,
    },
    Check(Expression),
}

#[derive(Clone, Debug)]
pub(crate) enum InsertSource {
    Values(Vec<Vec<Option<Expression>>>),
    Query(Box<Query>),
    Defaults,
}

#[derive(Clone, Debug)]
pub(crate) enum AlterTable {
    Add(Vec<ColumnDefinition>, Vec<TableConstraint>),
    DropColumn(String),
    DropConstraint(String),
    AlterColumn(ColumnDefinition),
    ChangeTracking { enable: bool, columns: bool },
}

/// What `ALTER DATABASE … SET` may say.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseOption {
    SnapshotIsolation(bool),
    ReadCommittedSnapshot(bool),
    ChangeTracking {
        enable: bool,
        retention_minutes: i64,
        cleanup: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
    Snapshot,
}

#[derive(Clone, Debug)]
pub(crate) struct BulkColumn {
    pub(crate) name: String,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Select(Query),
    Insert {
        table: Name,
        columns: Vec<String>,
        source: InsertSource,
        output: Vec<Item>,
        with: Option<Vec<u8>>,
    },
    Update {
        table: Name,
        sets: Vec<(String, Expression)>,
        from: Vec<Relation>,
        filter: Option<Expression>,
        top: Option<Expression>,
        output: Vec<Item>,
        with: Option<Vec<u8>>,
    },
    Delete {
        table: Name,
        from: Vec<Relation>,
        filter: Option<Expression>,
        top: Option<Expression>,
        output: Vec<Item>,
        with: Option<Vec<u8>>,
    },
    Truncate(Name),
    CreateTable {
        name: Name,
        columns: Vec<ColumnDefinition>,
        constraints: Vec<TableConstraint>,
    },
    DropTable {
        names: Vec<Name>,
        if_exists: bool,
    },
    AlterTable {
        name: Name,
        change: AlterTable,
    },
    CreateIndex {
        name: String,
        unique: bool,
        clustered: bool,
        table: Name,
        columns: Vec<(String, bool)>,
        included: Vec<String>,
    },
    DropIndex {
        name: String,
        table: Name,
    },
    CreateView {
        name: Name,
        columns: Vec<String>,
        query: Box<Query>,
    },
    DropView {
        names: Vec<Name>,
        if_exists: bool,
    },
    CreateSchema(String),
    CreateDatabase {
        name: String,
        collation: Option<String>,
    },
    DropDatabase {
        name: String,
        if_exists: bool,
    },
    AlterDatabase {
        name: Option<String>,
        options: Vec<DatabaseOption>,
    },
    Use(String),
    Declare(Vec<(String, SqlType, Option<Expression>)>),
    SetVariable(String, Expression),
    /// A session option that changes nothing here.
    SetNothing,
    SetCount(bool),
    SetXactAbort(bool),
    SetIdentityInsert {
        table: Name,
        on: bool,
    },
    SetIsolation(Isolation),
    SetLockTimeout(i64),
    Begin,
    Commit,
    Rollback(Option<String>),
    Save(String),
    If {
        condition: Expression,
        then: Vec<Self>,
        otherwise: Vec<Self>,
    },
    Block(Vec<Self>),
    Execute {
        procedure: Name,
        arguments: Vec<(Option<String>, Expression)>,
    },
    ExecuteText(Expression),
    Print(Expression),
    RaiseError {
        message: Expression,
        class: Expression,
    },
    Throw {
        number: Expression,
        message: Expression,
    },
    WaitFor(String),
    InsertBulk {
        table: Name,
        columns: Vec<BulkColumn>,
    },
}
