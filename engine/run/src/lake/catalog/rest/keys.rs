//! The keys to the files of one table, as the server hands them out: for a while, and anew before they run out.
//!
//! How long a while is comes from the server's own clock, told with each answer, so that the clocks need not agree.
//! Knows nothing of what is read and written with the keys.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use connectors::{Error, ErrorKind, Result};
use iceberg_catalog_rest::StorageCredential;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::answer::Answer;
use super::client::Client;
use super::create::Creation;
use super::table_path;
use crate::lake::id::TableId;

/// How long before their end keys are renewed, at most; a third of a life that is shorter.
const LEAD: Duration = Duration::from_mins(5);
/// How long keys of a session are used whose end the server does not tell: less than the shortest session of Amazon's.
const UNTOLD_LIFE: Duration = Duration::from_mins(10);
/// How long after a renewal failed the next is tried, while the keys still hold.
const AGAIN: Duration = Duration::from_secs(5);

const ACCESS_KEY: &str = "s3.access-key-id";
const SECRET_KEY: &str = "s3.secret-access-key";
const SESSION_TOKEN: &str = "s3.session-token";
const EXPIRES_AT: &str = "s3.session-token-expires-at-ms";

/// What an answer says about a table's files: where they are and what opens them. Holds secrets.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Given {
    #[serde(default)]
    config: Option<HashMap<String, String>>,
    #[serde(default)]
    storage_credentials: Option<Vec<StorageCredential>>,
    #[serde(default)]
    metadata: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    location: String,
}

impl Given {
    /// What holds for files below `location`: what is said of the table, then what is said of the nearest prefix.
    pub(super) fn at(self, location: &str) -> HashMap<String, String> {
        let mut config = self.config.unwrap_or_default();
        let given = self.storage_credentials.into_iter().flatten();
        let fitting = given.filter(|credential| covers(&credential.prefix, location));
        if let Some(nearest) = fitting.max_by_key(|credential| credential.prefix.len()) {
            config.extend(nearest.config);
        }
        config
    }
}

/// Whether files below `location` are below `prefix`, which may be a scheme alone.
fn covers(prefix: &str, location: &str) -> bool {
    let Some(rest) = location.strip_prefix(prefix) else {
        return false;
    };
    rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/') || !prefix.contains("://")
}

/// Keys to the files of one table.
pub(super) struct VendedKeys {
    client: Arc<Client>,
    id: TableId,
    location: String,
    /// How to ask for keys while the table does not exist.
    creation: Option<Creation>,
    held: Mutex<Held>,
}

/// Keys, and how long they hold.
pub(super) struct Held {
    keys: Arc<AwsCredential>,
    renew: Option<Instant>,
    end: Option<Instant>,
}

impl Held {
    /// The keys in what an answer says; `None` where there are none. `now_ms` is the server's clock.
    pub(super) fn of(place: &HashMap<String, String>, now_ms: Option<i64>) -> Option<Self> {
        let keys = AwsCredential {
            key_id: place.get(ACCESS_KEY)?.clone(),
            secret_key: place.get(SECRET_KEY)?.clone(),
            token: place.get(SESSION_TOKEN).cloned(),
        };
        let told: Option<i64> = place.get(EXPIRES_AT).and_then(|end| end.parse().ok());
        let life = match told.zip(now_ms) {
            Some((end, now)) => {
                let left = end.saturating_sub(now).max(0);
                Some(Duration::from_millis(left.unsigned_abs()))
            }
            None => keys.token.as_ref().map(|_| UNTOLD_LIFE),
        };
        let now = Instant::now();
        Some(Self {
            keys: Arc::new(keys),
            renew: life.map(|life| now + life.saturating_sub(LEAD.min(life / 3))),
            end: life.map(|life| now + life),
        })
    }
}

impl VendedKeys {
    /// The keys of a table at `location`; of one that does not exist yet, where there is a `creation`.
    pub(super) fn new(
        client: Arc<Client>,
        id: TableId,
        location: String,
        creation: Option<Creation>,
        held: Held,
    ) -> Self {
        Self {
            client,
            id,
            location,
            creation,
            held: Mutex::new(held),
        }
    }

    async fn renew(&self) -> Result<Held> {
        let answer = self.ask().await?;
        let message = "the catalog does not renew the keys to the files of a table";
        let given: Given = answer.secret(message)?;
        let moved = given.metadata.as_ref().is_some_and(|place| {
            place.location.trim_end_matches('/') != self.location.trim_end_matches('/')
        });
        if moved {
            return Err(Error::new(
                ErrorKind::Conflict,
                "the table is in another place now, and the keys to its files are gone",
            ));
        }
        let place = given.at(&self.location);
        Held::of(&place, answer.now_ms).ok_or_else(no_keys)
    }

    async fn ask(&self) -> Result<Answer> {
        if let Some(creation) = &self.creation {
            let answer = creation.preview().await?;
            // The table may have come to be meanwhile.
            if answer.status != reqwest::StatusCode::CONFLICT {
                return Ok(answer);
            }
        }
        let mut path = table_path(&self.id).to_vec();
        if self.client.gives_keys().await? {
            path.push("credentials".to_owned());
        }
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.client.get(&path, &[]).await
    }
}

/// The error of a server that was to hand out keys and did not.
pub(super) fn no_keys() -> Error {
    Error::new(
        ErrorKind::PermissionDenied,
        "the catalog hands out no keys to the files of the table",
    )
    .help("have them handed out by the server, or give the warehouse `access_key` and `secret_key` and leave `vended_credentials` out")
}

impl fmt::Debug for VendedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys to the files of `{}`", self.id)
    }
}

#[async_trait]
impl CredentialProvider for VendedKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        if held.renew.is_none_or(|renew| now < renew) {
            return Ok(Arc::clone(&held.keys));
        }
        match self.renew().await {
            Ok(fresh) => *held = fresh,
            Err(error) if held.end.is_some_and(|end| now < end) => {
                tracing::warn!(table = %self.id, ?error, "the keys to a table's files are not renewed yet");
                held.renew = Some(now + AGAIN);
            }
            Err(error) => return Err(refused(error.with("table", &self.id))),
        }
        Ok(Arc::clone(&held.keys))
    }
}

/// The error as the object store passes it on: of a kind that says whether trying again helps.
fn refused(error: Error) -> object_store::Error {
    if error.is_retryable() {
        return object_store::Error::Generic {
            store: "S3",
            source: Box::new(error),
        };
    }
    object_store::Error::Unauthenticated {
        path: String::new(),
        source: Box::new(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Given {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_nearest_prefix_gives_the_keys() {
        let text = r#"{"config": {"s3.access-key-id": "table", "s3.region": "here"}, "storage-credentials": [
            {"prefix": "s3", "config": {"s3.access-key-id": "all"}},
            {"prefix": "s3://lake/d/t", "config": {"s3.access-key-id": "near"}},
            {"prefix": "s3://lake/d/", "config": {"s3.access-key-id": "domain"}}]}"#;
        let key = |location: &str| given(text).at(location).remove(ACCESS_KEY).unwrap();
        assert_eq!(key("s3://lake/d/t"), "near");
        assert_eq!(key("s3://lake/d/t-2"), "domain");
        assert_eq!(key("s3://other/d"), "all");
        assert_eq!(key("gs://other/d"), "table");
        assert_eq!(
            given(text).at("s3://lake/d/t").remove("s3.region").unwrap(),
            "here"
        );
    }

    #[test]
    fn keys_are_renewed_before_their_end_by_the_clock_of_the_server() {
        let place = |more: &[(&str, &str)]| -> HashMap<String, String> {
            let keys = [(ACCESS_KEY, "k"), (SECRET_KEY, "s")];
            let all = keys.iter().chain(more);
            all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let start = Instant::now();
        let held = |more: &[(&str, &str)]| Held::of(&place(more), Some(1_000_000)).unwrap();
        assert!(
            held(&[]).renew.is_none(),
            "keys without a session do not end"
        );

        let untold = held(&[(SESSION_TOKEN, "t")]).renew.unwrap() - start;
        assert!(untold < UNTOLD_LIFE);

        let short = held(&[(EXPIRES_AT, "1030000")]);
        let renew = short.renew.unwrap() - start;
        assert!((19..22).contains(&renew.as_secs()), "{renew:?}");
        assert!(short.end.unwrap() - start >= Duration::from_secs(30));

        let long = held(&[(EXPIRES_AT, "4600000")]).renew.unwrap() - start;
        assert_eq!(long.as_secs().div_ceil(60), 55);
        let over = held(&[(EXPIRES_AT, "5")]);
        assert!(over.renew.unwrap() <= Instant::now());
        assert!(Held::of(&HashMap::new(), None).is_none());
    }
}
