//! Resolves host names: as the system does it, and then as an absolute name.
//!
//! musl gives up if the server of a search domain fails, and only after five seconds (kubernetes/kubernetes#64924).
//! glibc goes on. The plain name comes first: in a cluster, `minio.store` is a service, but elsewhere it is a foreign
//! domain.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::task::spawn_blocking;

/// Time after which the absolute name is tried, too. A working server answers faster.
const PATIENCE: Duration = Duration::from_millis(1500);

type Found = io::Result<Vec<SocketAddr>>;

/// The resolver of the HTTP client.
#[derive(Debug)]
pub struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move { Ok(Box::new(look_up(name.as_str(), system).await?.into_iter()) as Addrs) })
    }
}

fn system(name: &str) -> Found {
    // The port is in the URL.
    Ok((name, 0).to_socket_addrs()?.collect())
}

/// Resolves a name on a thread of its own, because the call blocks.
async fn asked(name: String, ask: fn(&str) -> Found) -> Found {
    spawn_blocking(move || ask(&name)).await.map_err(io::Error::other)?
}

async fn look_up(name: &str, ask: fn(&str) -> Found) -> Found {
    let plain = asked(name.to_owned(), ask);
    // A name with fewer than two dots may be a service of the cluster that is missing for a moment. As an absolute name
    // it could belong to a stranger, who must not get the dump.
    if name.ends_with('.') || name.matches('.').count() < 2 {
        return plain.await;
    }
    tokio::pin!(plain);
    let soon = tokio::time::timeout(PATIENCE, &mut plain).await;
    let absolute = asked(format!("{name}."), ask);
    let why = match soon {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(error)) => error,
        Err(_) => {
            log::debug!("{name} is not found yet: it is looked up as an absolute name, too");
            tokio::pin!(absolute);
            return tokio::select! {
                found = &mut plain => match found {
                    Ok(found) => Ok(found),
                    Err(error) => absolute.await.map_err(|_| error),
                },
                found = &mut absolute => match found {
                    Ok(found) => Ok(found),
                    Err(_) => plain.await,
                },
            };
        }
    };
    log::debug!("{name} is not found ({why}): it is looked up as an absolute name");
    absolute.await.map_err(|_| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A resolver that knows only absolute names and one name of the cluster. One name takes long to fail.
    fn ask(name: &str) -> Found {
        match name {
            "slow.example.org" => std::thread::sleep(2 * PATIENCE),
            "s3.example.org." | "slow.example.org." | "minio.store." | "minio.apps.svc" => return Ok(Vec::new()),
            _ => {}
        }
        Err(io::Error::other("Try again"))
    }

    fn is_found(name: &str) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(look_up(name, ask)).is_ok();
        runtime.shutdown_background();
        found
    }

    #[test]
    fn failed_name_is_tried_as_absolute_unless_it_may_be_foreign() {
        for (name, found) in [
            ("s3.example.org", true),
            ("s3.example.org.", true),
            ("minio.apps.svc", true),
            ("other.example.org", false),
            ("minio.store", false),
            ("minio", false),
        ] {
            assert_eq!(is_found(name), found, "{name}");
        }
    }

    #[test]
    fn slow_failure_of_a_name_is_not_waited_for() {
        let begun = std::time::Instant::now();
        assert!(is_found("slow.example.org"));
        assert!(begun.elapsed() < 2 * PATIENCE, "{:?}", begun.elapsed());
    }
}
