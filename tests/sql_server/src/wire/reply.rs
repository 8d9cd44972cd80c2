//! The tokens of a reply (MS-TDS 2.2.7).
//!
//! A DONE waits until it is known whether anything follows it.

use super::packet::PacketWriter;
use crate::error::{Result, SqlError};
use crate::sql::bind::OutputColumn;
use crate::types::encode::{long_text, short_text, type_info, value};
use crate::types::{Collation, SqlType, Value};

const MORE: u16 = 0x1;
const ERROR: u16 = 0x2;
const IN_TRANSACTION: u16 = 0x4;
const COUNT: u16 = 0x10;
const ATTENTION: u16 = 0x20;

/// `CurCmd` of a DONE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Other = 0,
    Select = 0xc1,
    Insert = 0xc3,
    Delete = 0xc4,
    Update = 0xc5,
}

/// ENVCHANGE.
#[derive(Clone, Debug)]
pub(crate) enum Environment {
    Database {
        new: String,
        old: String,
    },
    Language,
    PacketSize {
        new: usize,
        old: usize,
    },
    Collation,
    Begin(u64),
    Commit(u64),
    Rollback(u64),
    Reset,
    /// Another server to log in to.
    Routing {
        host: String,
        port: u16,
    },
}

#[derive(Clone, Copy)]
struct Done {
    status: u16,
    command: Command,
    rows: u64,
}

pub(crate) struct Reply {
    packets: PacketWriter,
    waiting: Option<Done>,
    /// Whether the message has an end yet: a client waits for one.
    ended: bool,
    /// Whether statements end with DONEINPROC.
    pub(crate) in_procedure: bool,
    pub(crate) in_transaction: bool,
}

impl Reply {
    pub(crate) fn new(packets: PacketWriter) -> Self {
        Self {
            packets,
            waiting: None,
            ended: false,
            in_procedure: false,
            in_transaction: false,
        }
    }

    pub(crate) fn packets(&mut self) -> &mut PacketWriter {
        &mut self.packets
    }

    fn begin(&mut self) -> &mut Vec<u8> {
        if let Some(done) = self.waiting.take() {
            let token = if self.in_procedure { 0xff } else { 0xfd };
            self.write_done(
                token,
                Done {
                    status: done.status | MORE,
                    ..done
                },
            );
        }
        self.packets.buffer()
    }

    fn write_done(&mut self, token: u8, done: Done) {
        self.ended = true;
        let transaction = if self.in_transaction {
            IN_TRANSACTION
        } else {
            0
        };
        let out = self.packets.buffer();
        out.push(token);
        out.extend((done.status | transaction).to_le_bytes());
        out.extend((done.command as u16).to_le_bytes());
        out.extend(done.rows.to_le_bytes());
    }

    /// The end of a statement.
    pub(crate) fn done(&mut self, command: Command, rows: Option<u64>) {
        self.begin();
        let status = if rows.is_some() { COUNT } else { 0 };
        self.waiting = Some(Done {
            status,
            command,
            rows: rows.unwrap_or(0),
        });
    }

    /// The end of a statement that failed.
    pub(crate) fn done_with_error(&mut self) {
        self.begin();
        self.waiting = Some(Done {
            status: ERROR,
            command: Command::Other,
            rows: 0,
        });
    }

    /// The end of a call.
    pub(crate) fn done_procedure(&mut self, failed: bool, more: bool) {
        self.begin();
        let status = if failed { ERROR } else { 0 } | if more { MORE } else { 0 };
        self.write_done(
            0xfe,
            Done {
                status,
                command: Command::Other,
                rows: 0,
            },
        );
    }

    /// Sends all that is left.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        if let Some(done) = self.waiting.take() {
            self.write_done(0xfd, done);
        }
        if !std::mem::take(&mut self.ended) {
            self.write_done(
                0xfd,
                Done {
                    status: 0,
                    command: Command::Other,
                    rows: 0,
                },
            );
            self.ended = false;
        }
        self.packets.finish().await
    }

    /// The answer to an attention.
    pub(crate) async fn finish_attention(&mut self) -> Result<()> {
        self.begin();
        self.write_done(
            0xfd,
            Done {
                status: ATTENTION,
                command: Command::Other,
                rows: 0,
            },
        );
        self.ended = false;
        self.packets.finish().await
    }

    pub(crate) fn error(&mut self, error: &SqlError) {
        self.message(0xaa, error);
    }

    pub(crate) fn info(&mut self, number: i32, text: &str) {
        self.message(0xab, &SqlError::new(number, 10, text));
    }

    fn message(&mut self, token: u8, error: &SqlError) {
        let mut body = Vec::new();
        body.extend(error.number.to_le_bytes());
        body.extend([error.state, error.class]);
        long_text(&error.message, &mut body);
        short_text("testserver", &mut body);
        short_text("", &mut body);
        body.extend(error.line.to_le_bytes());
        self.sized(token, &body);
    }

    /// A token with a length of two bytes.
    fn sized(&mut self, token: u8, body: &[u8]) {
        let out = self.begin();
        out.push(token);
        out.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(body);
    }

    pub(crate) fn environment(&mut self, change: &Environment) {
        let mut body = Vec::new();
        let bytes = |number: u64, body: &mut Vec<u8>| {
            body.push(8);
            body.extend(number.to_le_bytes());
        };
        match change {
            Environment::Database { new, old } => {
                body.push(1);
                short_text(new, &mut body);
                short_text(old, &mut body);
            }
            Environment::Language => {
                body.push(2);
                short_text("us_english", &mut body);
                short_text("", &mut body);
            }
            Environment::PacketSize { new, old } => {
                body.push(4);
                short_text(&new.to_string(), &mut body);
                short_text(&old.to_string(), &mut body);
            }
            Environment::Collation => {
                body.extend([7, 5]);
                body.extend(Collation::DEFAULT.wire());
                body.push(0);
            }
            Environment::Begin(number) => {
                body.push(8);
                bytes(*number, &mut body);
                body.push(0);
            }
            Environment::Commit(number) | Environment::Rollback(number) => {
                body.push(if matches!(change, Environment::Commit(_)) {
                    9
                } else {
                    10
                });
                body.push(0);
                bytes(*number, &mut body);
            }
            Environment::Reset => body.extend([18, 0, 0]),
            Environment::Routing { host, port } => {
                let mut route = vec![0];
                route.extend(port.to_le_bytes());
                long_text(host, &mut route);
                body.push(20);
                body.extend(u16::try_from(route.len()).unwrap_or(0).to_le_bytes());
                body.extend(route);
                body.extend([0, 0]);
            }
        }
        self.sized(0xe3, &body);
    }

    pub(crate) fn login_ack(&mut self, tds_version: u32) {
        let mut body = vec![1];
        body.extend(tds_version.to_be_bytes());
        short_text("Microsoft SQL Server", &mut body);
        body.extend([16, 0, 0x03, 0xe8]);
        self.sized(0xad, &body);
    }

    /// `FEATUREEXTACK`.
    pub(crate) fn features(&mut self, features: &[(u8, Vec<u8>)]) {
        if features.is_empty() {
            return;
        }
        let out = self.begin();
        out.push(0xae);
        for (id, data) in features {
            out.push(*id);
            out.extend(u32::try_from(data.len()).unwrap_or(0).to_le_bytes());
            out.extend(data);
        }
        out.push(0xff);
    }

    pub(crate) fn columns(&mut self, columns: &[OutputColumn], database: &str) {
        let out = self.begin();
        out.push(0x81);
        out.extend(u16::try_from(columns.len()).unwrap_or(0).to_le_bytes());
        for column in columns {
            let user_type: u32 = if column.sql_type == SqlType::RowVersion {
                0x50
            } else {
                0
            };
            out.extend(user_type.to_le_bytes());
            let flags = u16::from(column.nullable) | 0x08 | (u16::from(column.identity) << 4);
            out.extend(flags.to_le_bytes());
            type_info(column.sql_type, column.nullable, database, out);
            if matches!(
                column.sql_type,
                SqlType::Text(_) | SqlType::NText(_) | SqlType::Image
            ) {
                // The table's name in parts: one, and it is empty.
                out.push(1);
                long_text("", out);
            }
            short_text(&column.name, out);
        }
    }

    /// A row; with many columns, the NULLs in a map in front.
    pub(crate) async fn row(&mut self, values: &[Value], columns: &[OutputColumn]) -> Result<()> {
        let packed =
            columns.len() > 8 && values.iter().filter(|value| **value == Value::Null).count() > 1;
        let out = self.begin();
        let before = out.len();
        if packed {
            out.push(0xd2);
            for part in values.chunks(8) {
                let bits = part.iter().rev().fold(0_u8, |bits, value| {
                    bits << 1 | u8::from(*value == Value::Null)
                });
                out.push(bits);
            }
        } else {
            out.push(0xd1);
        }
        for (found, column) in values.iter().zip(columns) {
            if packed && *found == Value::Null {
                continue;
            }
            if let Err(error) = value(found, column.sql_type, column.nullable, out) {
                out.truncate(before);
                return Err(error);
            }
        }
        self.packets.send_full().await
    }

    pub(crate) fn return_status(&mut self, status: i32) {
        let out = self.begin();
        out.push(0x79);
        out.extend(status.to_le_bytes());
    }

    pub(crate) fn return_value(
        &mut self,
        ordinal: u16,
        name: &str,
        found: &Value,
        sql_type: SqlType,
        database: &str,
    ) -> Result<()> {
        let out = self.begin();
        out.push(0xac);
        out.extend(ordinal.to_le_bytes());
        short_text(name, out);
        out.push(1);
        out.extend([0; 6]);
        type_info(sql_type, true, database, out);
        value(found, sql_type, true, out)
    }
}
