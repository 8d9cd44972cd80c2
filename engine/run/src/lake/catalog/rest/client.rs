//! Requests to an Iceberg REST server: addresses, tokens, and what is sent again.
//!
//! A token that ran out is renewed once a request. A request that changes nothing is sent again when the server is busy
//! or breaks off; one that changes something only when it never left. Knows nothing of tables.

use std::time::Duration;

use connectors::{Error, ErrorKind, Result, Secret};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use super::answer::{Answer, unanswered};
use crate::lake::options::RestOptions;

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is waited before a request is sent again, each time it is.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];
/// Asks the server to hand out keys to the storage.
const DELEGATION: (&str, &str) = ("X-Iceberg-Access-Delegation", "vended-credentials");
/// How a server that hands out keys anew says so.
const KEYS_ENDPOINT: &str = "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}/credentials";

/// How a server says that it changes several tables in one step.
const TRANSACTIONS_ENDPOINT: &str = "POST /v1/{prefix}/transactions/commit";

/// A client of one server.
pub(super) struct Client {
    http: reqwest::Client,
    options: RestOptions,
    address: Url,
    token: Mutex<Option<Secret>>,
    server: OnceCell<Server>,
}

/// What the server tells about itself.
struct Server {
    /// The address below which this catalog's namespaces are.
    base: Url,
    /// Whether keys are handed out at an address of their own.
    gives_keys: bool,
    /// Whether several tables change in one step.
    commits_together: bool,
}

/// What a request does to the catalog.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing, or nothing more when it is done twice.
    Harmless,
    /// Something that must not be done twice.
    Once,
}

#[derive(serde::Deserialize)]
struct Config {
    #[serde(default)]
    defaults: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    overrides: serde_json::Map<String, serde_json::Value>,
    #[serde(default)]
    endpoints: Option<Vec<String>>,
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
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Internal, "no HTTP client can be made").caused_by(error)
            })?;
        Ok(Self {
            http,
            address: address(&options.uri)?,
            token: Mutex::new(options.token.clone()),
            options,
            server: OnceCell::new(),
        })
    }

    pub(super) const fn options(&self) -> &RestOptions {
        &self.options
    }

    /// Whether the server hands out keys at an address of their own.
    pub(super) async fn gives_keys(&self) -> Result<bool> {
        Ok(self.server().await?.gives_keys)
    }

    /// Whether the server changes several tables in one step.
    pub(super) async fn commits_together(&self) -> Result<bool> {
        Ok(self.server().await?.commits_together)
    }

    /// Reads something below the catalog's own address. The answer may be any status but that of a token that ran out.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer> {
        self.send::<()>(Method::GET, path, query, Effect::Harmless, None)
            .await
    }

    /// Sends something to below the catalog's own address. `CommitUnknown` is an effect that may have happened; any other
    /// error is none.
    pub(super) async fn post<B: Serialize + Sync>(
        &self,
        path: &[&str],
        effect: Effect,
        body: &B,
    ) -> Result<Answer> {
        self.send(Method::POST, path, &[], effect, Some(body)).await
    }

    /// Removes something below the catalog's own address.
    pub(super) async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer> {
        self.send::<()>(Method::DELETE, path, query, Effect::Harmless, None)
            .await
    }

    async fn send<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        effect: Effect,
        body: Option<&B>,
    ) -> Result<Answer> {
        let mut url = self.server().await?.base.clone();
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
        self.authorized(&build, effect).await
    }

    /// Sends with the token; with a new one when the server does not take it any more, which is before any effect.
    async fn authorized(
        &self,
        build: &(dyn Fn() -> RequestBuilder + Sync),
        effect: Effect,
    ) -> Result<Answer> {
        let token = self.token(None).await?;
        let answer = self.patient(build, token.as_ref(), effect).await?;
        if !answer.is_unauthorized() || self.options.credential.is_none() {
            return Ok(answer);
        }
        let token = self.token(token.as_ref()).await?;
        self.patient(build, token.as_ref(), effect).await
    }

    /// Sends until there is an answer that will not be another one in a moment.
    async fn patient(
        &self,
        build: &(dyn Fn() -> RequestBuilder + Sync),
        token: Option<&Secret>,
        effect: Effect,
    ) -> Result<Answer> {
        let mut pauses = PAUSES.iter();
        loop {
            let request = match token {
                Some(token) => build().bearer_auth(token.expose()),
                None => build(),
            };
            let done = self.once(request, token, effect).await;
            let again = match &done {
                Ok(answer) => effect == Effect::Harmless && answer.is_passing(),
                Err(error) => error.is_retryable(),
            };
            match pauses.next().filter(|_| again) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => return done,
            }
        }
    }

    async fn once(
        &self,
        request: RequestBuilder,
        token: Option<&Secret>,
        effect: Effect,
    ) -> Result<Answer> {
        let harmless = effect == Effect::Harmless;
        let lost = |error| unanswered(error, harmless).with("uri", &self.options.uri);
        let response = request.send().await.map_err(lost)?;
        let credential = self.options.credential.as_ref().map(Secret::expose);
        let (_, secret) = credential
            .and_then(|credential| credential.split_once(':'))
            .unwrap_or_default();
        let token = token.map(Secret::expose).unwrap_or_default();
        Answer::read(response, &[token, secret]).await.map_err(lost)
    }

    /// The token to send; another one than `stale`. Requests that find it stale at the same time renew it once.
    async fn token(&self, stale: Option<&Secret>) -> Result<Option<Secret>> {
        let mut held = self.token.lock().await;
        let Some(credential) = &self.options.credential else {
            return Ok(held.clone());
        };
        let current = held
            .as_ref()
            .filter(|held| stale.is_none_or(|stale| stale.expose() != held.expose()));
        if let Some(current) = current {
            return Ok(Some(current.clone()));
        }
        let fresh = self.ask_token(credential).await?;
        *held = Some(fresh.clone());
        Ok(Some(fresh))
    }

    /// Asks for a token with the client's credentials.
    async fn ask_token(&self, credential: &Secret) -> Result<Secret> {
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
        let build = || self.http.post(url.clone()).form(&form);
        let answer = self.patient(&build, None, Effect::Harmless).await?;
        let token: Token = answer.secret("the catalog gives no token")?;
        Ok(Secret::new(token.access_token))
    }

    /// An address below `/v1`.
    fn root(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.address.clone();
        extend(&mut url, &["v1"])?;
        extend(&mut url, path)?;
        Ok(url)
    }

    /// What the server tells about itself: its prefix, and what it can do.
    async fn server(&self) -> Result<&Server> {
        let ask = async || {
            let url = self.root(&["config"])?;
            let warehouse = self.options.warehouse.as_deref();
            let query: Vec<(&str, &str)> = warehouse
                .map(|name| ("warehouse", name))
                .into_iter()
                .collect();
            let build = || self.http.get(url.clone()).query(&query);
            let answer = self.authorized(&build, Effect::Harmless).await?;
            let config: Config = answer.secret("the catalog does not tell its configuration")?;
            let prefix = config
                .overrides
                .get("prefix")
                .or_else(|| config.defaults.get("prefix"));
            let prefix = prefix
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default();
            let parts: Vec<&str> = prefix.split('/').filter(|part| !part.is_empty()).collect();
            let has = |wanted| {
                let mut endpoints = config.endpoints.iter().flatten();
                endpoints.any(|endpoint| endpoint == wanted)
            };
            Ok(Server {
                base: self.root(&parts)?,
                gives_keys: has(KEYS_ENDPOINT),
                commits_together: has(TRANSACTIONS_ENDPOINT),
            })
        };
        self.server.get_or_try_init(ask).await
    }
}

/// The address of a server. One with a password in it would carry that into every message.
fn address(uri: &str) -> Result<Url> {
    let bad = |message| {
        Error::new(ErrorKind::InvalidInput, message)
            .help("write `uri` like `https://catalog.example.org`; secrets belong into `credential` or `token`")
    };
    let url = Url::parse(uri.trim_end_matches('/'))
        .map_err(|error| bad("the address of the catalog is not a URL").caused_by(error))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "the address of the catalog has a user or a password in it",
        ));
    }
    Ok(url)
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
