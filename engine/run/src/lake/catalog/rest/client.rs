//! Requests to an Iceberg REST server: addresses, tokens, one renewal of a token that ran out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use connectors::{Error, ErrorKind, Result};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use crate::lake::options::RestOptions;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of an error's text that are shown.
const SHOWN_BYTES: usize = 500;
/// Asks the server to hand out keys to the storage.
const DELEGATION: (&str, &str) = ("X-Iceberg-Access-Delegation", "vended-credentials");

/// A client of one server.
pub(super) struct Client {
    http: reqwest::Client,
    options: RestOptions,
    token: Mutex<Option<String>>,
    base: OnceCell<Url>,
}

/// What a request that changes nothing but the table says.
#[derive(serde::Deserialize)]
struct Config {
    #[serde(default)]
    defaults: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    overrides: serde_json::Map<String, serde_json::Value>,
}

#[derive(serde::Deserialize)]
struct Token {
    access_token: String,
}

impl Client {
    /// A client; nothing is asked yet.
    pub(super) fn new(options: RestOptions) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "no HTTP client can be made").caused_by(error)
            })?;
        let token = options
            .token
            .as_ref()
            .map(|token| token.expose().to_owned());
        Ok(Self {
            http,
            options,
            token: Mutex::new(token),
            base: OnceCell::new(),
        })
    }

    pub(super) const fn options(&self) -> &RestOptions {
        &self.options
    }

    /// Sends a request to a path below the catalog's own. The answer may be any status but 401.
    pub(super) async fn send<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&B>,
    ) -> Result<Response> {
        let mut url = self.base().await?.clone();
        extend(&mut url, path)?;
        let build = || {
            let mut request = self.http.request(method.clone(), url.clone()).query(query);
            if self.options.vended {
                request = request.header(DELEGATION.0, DELEGATION.1);
            }
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.authorized(&build).await
    }

    /// Sends with the token; renews it once when it has run out.
    async fn authorized(&self, build: &(dyn Fn() -> RequestBuilder + Sync)) -> Result<Response> {
        if self.current_token().is_none() && self.options.credential.is_some() {
            self.renew_token().await?;
        }
        let response = self.with_token(build()).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::UNAUTHORIZED || self.options.credential.is_none() {
            return Ok(response);
        }
        self.renew_token().await?;
        self.with_token(build()).send().await.map_err(unreachable)
    }

    fn current_token(&self) -> Option<String> {
        self.token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        match self.current_token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks for a token with the client's credentials.
    async fn renew_token(&self) -> Result<()> {
        let Some(credential) = &self.options.credential else {
            return Ok(());
        };
        let (id, secret) = credential.expose().split_once(':').ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "the credential of the catalog has no `:`",
            )
            .help("write it as `client id:client secret`")
        })?;
        let scope = self.options.scope.as_deref().unwrap_or("catalog");
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", scope),
        ];
        let url = self.root(&["oauth", "tokens"])?;
        let response = self
            .http
            .post(url)
            .form(&form)
            .send()
            .await
            .map_err(unreachable)?;
        let token: Token = answer(response, "the catalog gives no token").await?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.access_token);
        Ok(())
    }

    /// An address below `/v1`.
    fn root(&self, path: &[&str]) -> Result<Url> {
        let mut url = Url::parse(self.options.uri.trim_end_matches('/')).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                "the address of the catalog is not a URL",
            )
            .with("uri", &self.options.uri)
            .caused_by(error)
        })?;
        extend(&mut url, &["v1"])?;
        extend(&mut url, path)?;
        Ok(url)
    }

    /// The address below which this catalog's namespaces are: the server tells its prefix.
    async fn base(&self) -> Result<&Url> {
        let ask = async || {
            let url = self.root(&["config"])?;
            let warehouse = self.options.warehouse.as_deref();
            let query: Vec<(&str, &str)> = warehouse
                .map(|name| ("warehouse", name))
                .into_iter()
                .collect();
            let build = || self.http.get(url.clone()).query(&query);
            let response = self.authorized(&build).await?;
            let config: Config =
                answer(response, "the catalog does not tell its configuration").await?;
            let prefix = config
                .overrides
                .get("prefix")
                .or_else(|| config.defaults.get("prefix"));
            let prefix = prefix
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default();
            let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
            self.root(&parts)
        };
        self.base.get_or_try_init(ask).await
    }
}

/// Adds parts to a path, each encoded.
fn extend(url: &mut Url, path: &[&str]) -> Result<()> {
    let mut parts = url.path_segments_mut().map_err(|()| {
        Error::new(
            ErrorKind::InvalidInput,
            "the address of the catalog takes no path",
        )
    })?;
    parts.pop_if_empty().extend(path);
    Ok(())
}

/// The error of a request without an answer.
pub(super) fn unreachable(error: reqwest::Error) -> Error {
    let kind = if error.is_connect() {
        ErrorKind::Unavailable
    } else if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::CommitUnknown
    };
    Error::new(kind, "the catalog does not answer").caused_by(error)
}

/// The error of an answer that is not a success.
pub(super) async fn refusal(response: Response, message: &str) -> Error {
    let status = response.status();
    let kind = match status.as_u16() {
        401 | 403 => ErrorKind::PermissionDenied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        406 | 501 => ErrorKind::Unsupported,
        400..=499 => ErrorKind::InvalidInput,
        _ => ErrorKind::Unavailable,
    };
    let text = response.text().await.unwrap_or_default();
    let shown = text
        .get(..text.floor_char_boundary(SHOWN_BYTES))
        .unwrap_or_default();
    Error::new(kind, message)
        .with("status", status.as_u16())
        .with("answer", shown)
}

/// The body of an answer that must be a success.
pub(super) async fn answer<T: DeserializeOwned>(response: Response, message: &str) -> Result<T> {
    if !response.status().is_success() {
        return Err(refusal(response, message).await);
    }
    let body = response.bytes().await.map_err(unreachable)?;
    serde_json::from_slice(&body).map_err(|error| {
        Error::new(
            ErrorKind::InvalidData,
            format!("{message}: its answer cannot be read"),
        )
        .caused_by(error)
    })
}
