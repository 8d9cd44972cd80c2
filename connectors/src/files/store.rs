//! Stores of objects, opened from options: S3 and everything that speaks it.
//!
//! Knows endpoints, credentials and limits; knows nothing of tables. The lake's warehouse opens its store itself: keys of
//! its own may be handed out by a catalog, and change while they are in use.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::secret::{SecretRef, Secrets};

/// How long a connection to the store may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one request may take, body included; a longer read is resumed where it broke off.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);

/// How often one request is sent again.
const MAX_RETRIES: usize = 4;

/// How long one request may take with all its repetitions.
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// The region that stores other than Amazon's expect in a signature.
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket that speaks the S3 protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// The folder of the bucket that paths are relative to; the whole bucket when left out.
    pub prefix: Option<String>,
    /// The region; `us-east-1` when left out.
    pub region: Option<String>,
    /// The address of the service, `https://host:port`; Amazon's when left out.
    pub endpoint: Option<String>,
    /// The access key; together with `secret_key`.
    pub access_key: Option<SecretRef>,
    /// The secret key; together with `access_key`.
    pub secret_key: Option<SecretRef>,
    /// The token of temporary keys.
    pub session_token: Option<SecretRef>,
    /// Sends no credentials at all, for public buckets.
    #[serde(default)]
    pub anonymous: bool,
    /// Names the bucket in the path of a request instead of in the host name.
    #[serde(default)]
    pub path_style: bool,
    /// Allows an `http://` endpoint on a host other than this machine.
    #[serde(default)]
    pub allow_http: bool,
}

/// Opens the store of a bucket. Sends nothing yet.
pub fn open_store(options: &S3Options, secrets: &dyn Secrets) -> Result<Arc<dyn ObjectStore>> {
    let region = options.region.as_deref().unwrap_or(DEFAULT_REGION);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&options.bucket)
        .with_region(region)
        .with_retry(retries())
        .with_skip_signature(options.anonymous)
        .with_virtual_hosted_style_request(!options.path_style);
    let mut http = false;
    if let Some(endpoint) = &options.endpoint {
        let url = endpoint_url(endpoint, options)?;
        http = url.scheme() == "http";
        builder = builder.with_endpoint(url.as_str().trim_end_matches('/'));
    }
    builder = builder.with_client_options(
        ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT)
            .with_allow_http(http),
    );
    match (&options.access_key, &options.secret_key) {
        (Some(access), Some(secret)) => {
            builder = builder
                .with_access_key_id(secrets.resolve(access)?.expose())
                .with_secret_access_key(secrets.resolve(secret)?.expose());
        }
        (None, None) => {}
        _ => {
            let message = "`access_key` and `secret_key` are given together or not at all";
            return Err(
                Error::new(ErrorKind::InvalidInput, message).with("bucket", &options.bucket)
            );
        }
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(secrets.resolve(token)?.expose());
    }
    let store = builder.build().map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "the options do not make a store")
            .with("bucket", &options.bucket)
            .caused_by(error)
    })?;
    Ok(Arc::new(store))
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    }
}

/// The address requests go to. Keys and rows do not travel in the clear over a network unless that is asked for.
fn endpoint_url(endpoint: &str, options: &S3Options) -> Result<Url> {
    let bad = || {
        Error::new(
            ErrorKind::InvalidInput,
            format!("`{endpoint}` is not an endpoint"),
        )
        .help("write it like `https://minio.example.org:9000`")
    };
    let mut url = Url::parse(endpoint).map_err(|error| bad().caused_by(error))?;
    let (true, Some(host)) = (matches!(url.scheme(), "http" | "https"), url.host()) else {
        return Err(bad());
    };
    if url.scheme() == "http" && !options.allow_http && !is_loopback(&host) {
        let message = format!("the endpoint `{endpoint}` is not encrypted and not on this machine");
        return Err(Error::new(ErrorKind::InvalidInput, message)
            .help("use `https://`, or set `allow_http: true` where the network is trusted"));
    }
    let named = host.to_string();
    if !options.path_style && !named.starts_with(&format!("{}.", options.bucket)) {
        let with_bucket = format!("{}.{named}", options.bucket);
        url.set_host(Some(&with_bucket)).map_err(|error| {
            bad()
                .help("set `path_style: true`: the host cannot carry the bucket's name")
                .caused_by(error)
        })?;
    }
    Ok(url)
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoint: &str, path_style: bool) -> (String, S3Options) {
        let options = S3Options {
            bucket: "lake".to_owned(),
            path_style,
            ..S3Options::default()
        };
        (endpoint.to_owned(), options)
    }

    fn url(endpoint: &str, path_style: bool) -> Result<String> {
        let (endpoint, options) = options(endpoint, path_style);
        endpoint_url(&endpoint, &options).map(String::from)
    }

    #[test]
    fn http_stays_on_this_machine() {
        assert!(url("http://127.0.0.1:9000", true).is_ok());
        assert!(url("http://[::1]:9000", true).is_ok());
        assert!(url("http://localhost:9000", true).is_ok());
        assert!(url("https://minio:9000", true).is_ok());
        let error = url("http://minio:9000", true).unwrap_err();
        assert!(error.help_text().unwrap().contains("allow_http"));
    }

    #[test]
    fn the_bucket_is_in_the_host_unless_in_the_path() {
        assert_eq!(
            url("https://s3.example.org", false).unwrap(),
            "https://lake.s3.example.org/"
        );
        assert_eq!(
            url("https://s3.example.org", true).unwrap(),
            "https://s3.example.org/"
        );
        assert!(url("s3.example.org", true).is_err());
    }
}
