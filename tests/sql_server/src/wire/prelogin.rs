//! PRELOGIN: which version the server has, and what will be encrypted (MS-TDS 2.2.6.5).

use super::packet::framed;
use crate::error::{Result, SqlError};

/// How much of a connection is to be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing: the server says it has no certificate.
    NotSupported,
    /// What the client asks for; the login at least.
    #[default]
    Offered,
    /// Everything.
    Required,
}

/// What a client asked for before its login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prelogin {
    /// The byte of its ENCRYPTION option.
    encryption: u8,
    federated: bool,
}

/// What both sides will encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreed {
    Nothing,
    Login,
    Everything,
}

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

impl Prelogin {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let mut found = Self {
            encryption: NOT_SUPPORTED,
            federated: false,
        };
        for option in bytes.chunks(5) {
            let [token, a, b, _, _] = option else {
                break;
            };
            let at = usize::from(u16::from_be_bytes([*a, *b]));
            match token {
                1 => {
                    found.encryption = *bytes
                        .get(at)
                        .ok_or_else(|| SqlError::protocol("PRELOGIN ends within an option."))?;
                }
                6 => found.federated = true,
                0xff => break,
                _ => {}
            }
        }
        Ok(found)
    }

    pub(crate) fn agree(self, server: Encryption) -> Agreed {
        match (server, self.encryption & 0x0f) {
            (Encryption::NotSupported, _) | (Encryption::Offered, NOT_SUPPORTED) => Agreed::Nothing,
            (Encryption::Offered, OFF) => Agreed::Login,
            (Encryption::Required | Encryption::Offered, _) => Agreed::Everything,
        }
    }

    /// The packet that answers it. In a stream that is TLS from its first byte, nothing is left to agree on.
    pub(crate) fn answer(self, server: Encryption, strict: bool) -> Vec<u8> {
        let encryption = match (self.agree(server), server) {
            _ if strict => ON,
            (Agreed::Nothing, _) => NOT_SUPPORTED,
            (Agreed::Login, _) => OFF,
            (Agreed::Everything, Encryption::Required) if self.encryption & 0x0f != ON => REQUIRED,
            (Agreed::Everything, _) => ON,
        };
        let mut options: Vec<(u8, Vec<u8>)> = vec![
            (0, vec![16, 0, 0x03, 0xe8, 0, 6]),
            (1, vec![encryption]),
            (2, vec![0]),
            (3, Vec::new()),
            (4, vec![0]),
        ];
        if self.federated {
            options.push((6, vec![0]));
        }
        let mut at = options.len() * 5 + 1;
        let (mut head, mut data) = (Vec::new(), Vec::new());
        for (token, value) in options {
            let place = u16::try_from(at).unwrap_or(0).to_be_bytes();
            let length = u16::try_from(value.len()).unwrap_or(0).to_be_bytes();
            head.push(token);
            head.extend(place);
            head.extend(length);
            at += value.len();
            data.extend(value);
        }
        head.push(0xff);
        head.extend(data);
        framed(4, 1, &head, 1, 0)
    }
}
