//! What a server answered, read whole: the status, the server's clock, the body.
//!
//! Knows what a status means to the engine; knows nothing of tables. Secrets of ours that a server sends back in a
//! refusal are cut out before anything is kept.

use connectors::{Error, ErrorKind, Result};
use iceberg_catalog_rest::ErrorResponse;
use reqwest::StatusCode;
use serde::de::DeserializeOwned;

/// Bytes of an error's text that are shown.
const SHOWN_BYTES: usize = 500;
/// The shortest secret that is looked for in a refusal: anything shorter is part of ordinary words.
const MIN_SECRET_BYTES: usize = 4;
/// The status with which some servers say that a token ran out.
const AUTHENTICATION_TIMEOUT: u16 = 419;

/// An answer, of whatever status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The server's clock when it answered, in milliseconds since 1970.
    pub(super) now_ms: Option<i64>,
    body: Vec<u8>,
}

impl Answer {
    /// Reads an answer to its end. `secrets` are cut out of what a refusal says.
    pub(super) async fn read(
        mut response: reqwest::Response,
        secrets: &[&str],
    ) -> reqwest::Result<Self> {
        let status = response.status();
        let date = response.headers().get(reqwest::header::DATE);
        let now_ms = date
            .and_then(|date| date.to_str().ok())
            .and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok())
            .map(|date| date.timestamp_millis());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            body.extend_from_slice(&part);
        }
        if !status.is_success() {
            body = without(&String::from_utf8_lossy(&body), secrets).into_bytes();
        }
        Ok(Self {
            status,
            now_ms,
            body,
        })
    }

    /// Whether the server does not take the token any more.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self.status.as_u16(), 401 | AUTHENTICATION_TIMEOUT)
    }

    /// Whether the same request may well succeed a moment later.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
    }

    /// The body of an answer that must be a success.
    pub(super) fn success<T: DeserializeOwned>(&self, message: &str) -> Result<T> {
        if !self.status.is_success() {
            return Err(self.refusal(message));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| self.unreadable(message, &error).caused_by(error))
    }

    /// The same for a body that holds secrets: the text of a mistake in it is not kept, as it may quote them.
    pub(super) fn secret<T: DeserializeOwned>(&self, message: &str) -> Result<T> {
        if !self.status.is_success() {
            return Err(self.refusal(message));
        }
        serde_json::from_slice(&self.body).map_err(|error| self.unreadable(message, &error))
    }

    fn unreadable(&self, message: &str, error: &serde_json::Error) -> Error {
        Error::new(
            ErrorKind::InvalidData,
            format!("{message}: its answer cannot be read"),
        )
        .with("status", self.status.as_u16())
        .with("line", error.line())
        .with("column", error.column())
    }

    /// The error of an answer that is not a success.
    pub(super) fn refusal(&self, message: &str) -> Error {
        let status = self.status.as_u16();
        let kind = match status {
            401 | 403 | AUTHENTICATION_TIMEOUT => ErrorKind::PermissionDenied,
            404 => ErrorKind::NotFound,
            408 => ErrorKind::Timeout,
            409 => ErrorKind::Conflict,
            405 | 406 | 501 => ErrorKind::Unsupported,
            429 => ErrorKind::Unavailable,
            400..=499 => ErrorKind::InvalidInput,
            _ => ErrorKind::Unavailable,
        };
        let error = Error::new(kind, message)
            .with("status", status)
            .with("answer", self.told());
        if self.is_unauthorized() {
            return error.help("look at `credential` or `token` of the lake's catalog: the server does not accept it, or not any more");
        }
        error
    }

    /// What the server says went wrong, in its own words.
    fn told(&self) -> String {
        let model = serde_json::from_slice::<ErrorResponse>(&self.body);
        let text = match model {
            Ok(model) => iceberg::Error::from(model).message().to_owned(),
            Err(_) => String::from_utf8_lossy(&self.body).into_owned(),
        };
        let end = text.floor_char_boundary(SHOWN_BYTES);
        text.get(..end).unwrap_or_default().trim().to_owned()
    }
}

/// The error of a request without an answer. `harmless` requests may be sent again whatever became of them; another one
/// may have had its effect.
pub(super) fn unanswered(error: reqwest::Error, harmless: bool) -> Error {
    let (kind, message) = if error.is_builder() {
        (ErrorKind::InvalidInput, "the catalog cannot be asked")
    } else if error.is_connect() {
        (ErrorKind::Unavailable, "the catalog cannot be reached")
    } else if !harmless {
        (
            ErrorKind::CommitUnknown,
            "the reply of the catalog was lost",
        )
    } else if error.is_timeout() {
        (ErrorKind::Timeout, "the catalog does not answer in time")
    } else {
        (ErrorKind::Unavailable, "the catalog broke off its answer")
    };
    Error::new(kind, message).caused_by(error)
}

/// A text without secrets.
fn without(text: &str, secrets: &[&str]) -> String {
    let mut clean = text.to_owned();
    for secret in secrets {
        if secret.len() >= MIN_SECRET_BYTES {
            clean = clean.replace(secret, "…");
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            now_ms: None,
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_refusal_says_what_the_server_says() {
        let body =
            r#"{"error": {"message": "no such warehouse", "type": "NotFound", "code": 404}}"#;
        let error = answer(404, body).refusal("the catalog does not list its tables");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!error.is_retryable());
        assert_eq!(
            error.to_string(),
            "the catalog does not list its tables (status: 404, answer: no such warehouse)"
        );
        assert!(answer(503, "busy").refusal("x").is_retryable());
        assert!(answer(429, "slow down").refusal("x").is_retryable());
    }

    #[test]
    fn secrets_are_neither_shown_nor_quoted() {
        assert_eq!(
            without("Bearer abcd1234 is not known", &["abcd1234", "is"]),
            "Bearer … is not known"
        );
        let error = answer(200, r#"{"access_token": ["hunter2"]}"#)
            .secret::<std::collections::HashMap<String, String>>("the catalog gives no token")
            .unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
