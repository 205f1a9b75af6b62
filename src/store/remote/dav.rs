//! One object in a WebDAV store (RFC 4918). The object is put under a temporary name, and moved to its own name when it
//! is complete.

use reqwest::{Client, Method, RequestBuilder, StatusCode};

use super::http_error::{HttpError, checked};
use crate::kept::names::PART;
use crate::object::key::ObjectKey;
use crate::object::stored::Verified;
use crate::store::settings::{Secret, StoreSettings};
use crate::store::url::path_of;

/// The store's answer about the size of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum There {
    Bytes(u64),
    /// The object exists, but the answer has no length.
    Unsaid,
    Missing,
}

/// The result of giving an object its name.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    pub verified: Verified,
    /// True if the store itself confirmed the move.
    pub by_us: bool,
}

/// The URLs of an object, and the user who puts it.
#[derive(Debug)]
pub struct Dav {
    base: String,
    dir: String,
    pub url: String,
    pub temporary: String,
    user: Option<(String, Option<Secret>)>,
}

impl Dav {
    pub fn new(settings: &StoreSettings, base: &str, key: &ObjectKey) -> Self {
        let (dump, user) = (key.dump(), settings.username.clone());
        let (dir, name) = dump.rsplit_once('/').unwrap_or(("", &dump));
        Self {
            base: base.to_owned(),
            dir: dir.to_owned(),
            url: format!("{base}/{dump}"),
            temporary: format!("{base}/{dir}/.{name}{PART}"),
            user: user.map(|user| (user, settings.password.clone())),
        }
    }

    fn request(&self, client: &Client, method: Method, url: &str) -> RequestBuilder {
        let request = client.request(method, url);
        match &self.user {
            Some((user, password)) => request.basic_auth(user, password.as_ref().map(Secret::reveal)),
            None => request,
        }
    }

    /// Creates the collections, and the temporary object in the last one. This is the probe, with the rights of the
    /// upload.
    pub async fn prepare(&self, client: &Client) -> Result<(), HttpError> {
        match self.make_collections(client).await {
            // The collections in the store's own URL may be missing as well.
            Err(HttpError::Refused { status: StatusCode::CONFLICT, .. }) => {
                self.make_base(client).await?;
                self.make_collections(client).await?;
            }
            other => other?,
        }
        let probe = format!("{}.probe", self.temporary);
        let put = self.request(client, Method::PUT, &probe).body("");
        checked(&probe, "put", put).await?;
        let moved = self.rename(client, &probe, &self.temporary, true).await;
        if moved.is_err() {
            let _ = self.request(client, Method::DELETE, &probe).send().await;
        }
        moved
    }

    async fn rename(&self, client: &Client, from: &str, to: &str, overwrite: bool) -> Result<(), HttpError> {
        let method = Method::from_bytes(b"MOVE").unwrap_or_default();
        let request = self.request(client, method, from).header("Destination", to);
        let request = request.header("Overwrite", if overwrite { "T" } else { "F" });
        checked(to, "name", request).await.map(drop)
    }

    async fn make_collections(&self, client: &Client) -> Result<(), HttpError> {
        let mut collection = self.base.clone();
        for name in self.dir.split('/').filter(|name| !name.is_empty()) {
            collection = format!("{collection}/{name}");
            self.make_collection(client, &collection).await?;
        }
        Ok(())
    }

    /// Creates the collections in the store's own URL, from the outermost on. Refusals are ignored: some of them may
    /// not be ours to create.
    async fn make_base(&self, client: &Client) -> Result<(), HttpError> {
        let path = path_of(&self.base);
        let mut collection = self.base[..self.base.len() - path.len()].to_owned();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            collection = format!("{collection}/{name}");
            match self.make_collection(client, &collection).await {
                Err(HttpError::Refused { .. }) | Ok(()) => {}
                other => return other,
            }
        }
        Ok(())
    }

    /// Creates a collection (RFC 4918, section 9.3.1: 405 if it exists). Some servers answer 403 for an existing one.
    async fn make_collection(&self, client: &Client, url: &str) -> Result<(), HttpError> {
        let method = Method::from_bytes(b"MKCOL").unwrap_or_default();
        let made = checked(url, "make the collection", self.request(client, method, &format!("{url}/"))).await;
        match made {
            Err(HttpError::Refused { status: StatusCode::METHOD_NOT_ALLOWED | StatusCode::FORBIDDEN, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Returns the request to put the object, without its body.
    pub fn put(&self, client: &Client) -> RequestBuilder {
        self.request(client, Method::PUT, &self.temporary).header("Content-Type", "application/gzip")
    }

    /// Returns what the store has at `url`.
    pub async fn look(&self, client: &Client, url: &str) -> Result<There, HttpError> {
        match checked(url, "look at", self.request(client, Method::HEAD, url)).await {
            Ok(response) => {
                let length = response.headers().get("Content-Length").and_then(|value| value.to_str().ok());
                Ok(length.and_then(|text| text.parse().ok()).map_or(There::Unsaid, There::Bytes))
            }
            Err(HttpError::Refused { status: StatusCode::NOT_FOUND | StatusCode::GONE, .. }) => Ok(There::Missing),
            Err(error) => Err(error),
        }
    }

    async fn is_there(&self, client: &Client, url: &str) -> Result<bool, HttpError> {
        match checked(url, "look at", self.request(client, Method::HEAD, url)).await {
            Err(HttpError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            other => other.map(|_| true),
        }
    }

    /// Moves the object to its name, unless its size is wrong. Never replaces another object. If the object is missing
    /// afterwards, it is not stored, whatever the store answered. If nobody can look at it, it is acknowledged.
    /// `in_doubt`: the answer to an earlier try was lost.
    pub async fn name(&self, client: &Client, bytes: u64, in_doubt: bool) -> Result<Named, HttpError> {
        let size = |there| Err(HttpError::Size { url: self.url.clone(), there });
        match self.look(client, &self.temporary).await {
            Ok(There::Bytes(there)) if there != bytes => return size(there),
            Ok(_) => {}
            Err(error) => log::info!("{} cannot be looked at: {error}", self.temporary),
        }
        if let Err(error) = self.rename(client, &self.temporary, &self.url, false).await {
            let is_ours = error.may_be_done(in_doubt) && self.was_named(client, bytes).await;
            return if is_ours { Ok(Named { verified: Verified::Size, by_us: false }) } else { Err(error) };
        }
        let verified = match self.look(client, &self.url).await {
            Ok(There::Bytes(there)) if there != bytes => return size(there),
            Ok(There::Missing) => return Err(HttpError::Vanished { url: self.url.clone() }),
            Ok(There::Bytes(_)) => Verified::Size,
            Ok(There::Unsaid) => Verified::Acknowledged,
            Err(error) => {
                log::info!("{} cannot be looked at: {error}", self.url);
                Verified::Acknowledged
            }
        };
        Ok(Named { verified, by_us: true })
    }

    /// Returns whether the object got its name although the answer was lost. The temporary name is then gone. It would
    /// still exist if another object had the final name.
    async fn was_named(&self, client: &Client, bytes: u64) -> bool {
        self.look(client, &self.temporary).await.ok() == Some(There::Missing)
            && self.look(client, &self.url).await.ok() == Some(There::Bytes(bytes))
    }

    /// Stores a text beside the object. Beside a foreign object, an existing text stays. Not every server supports
    /// conditions, so the server is asked first.
    pub async fn put_small(
        &self,
        client: &Client,
        key: &str,
        content_type: &str,
        bytes: Vec<u8>,
        may_replace: bool,
    ) -> Result<(), HttpError> {
        let url = format!("{}/{key}", self.base);
        if !may_replace && self.is_there(client, &url).await? {
            return Err(HttpError::Taken { url });
        }
        let request = self.request(client, Method::PUT, &url).header("Content-Type", content_type).body(bytes);
        let request = if may_replace { request } else { request.header("If-None-Match", "*") };
        checked(&url, "store something beside", request).await.map(drop)
    }

    pub async fn remove_temporary(&self, client: &Client) -> Result<(), HttpError> {
        let request = self.request(client, Method::DELETE, &self.temporary);
        match checked(&self.temporary, "remove", request).await {
            Err(HttpError::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            other => other.map(drop),
        }
    }
}
