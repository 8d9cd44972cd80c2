//! The protocol: packets and messages, the handshake, and the tokens of a reply (MS-TDS 2.2).
//!
//! Knows bytes. Knows no SQL.

mod login;
mod packet;
mod prelogin;
mod reader;
mod reply;
mod request;
mod tls;

pub(crate) use login::Login;
pub(crate) use packet::{Kind, Message, PacketWriter, broken, read_message};
pub use prelogin::Encryption;
pub(crate) use prelogin::{Agreed, Prelogin};
pub(crate) use reader::{Reader, utf16};
pub(crate) use reply::{Command, Environment, Reply};
pub(crate) use request::{
    Again, Call, Parameter, TransactionRequest, calls, sql_text, transaction,
};
pub(crate) use tls::Wrapped;
