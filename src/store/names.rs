//! Host names to addresses: as the system does it, and then once more as an absolute name.
//!
//! musl gives up at the first search domain whose server fails (kubernetes/kubernetes#64924), where glibc goes on.
//! The plain name comes first: in a cluster, `minio.store` is a service, and elsewhere somebody else's domain.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// See the module's words.
#[derive(Debug)]
pub struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || look_up(&name, system)).await;
            let addresses = found.map_err(io::Error::other)??;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn system(name: &str) -> io::Result<Vec<SocketAddr>> {
    // The port is that of the URL.
    Ok((name, 0).to_socket_addrs()?.collect())
}

fn look_up(name: &str, ask: impl Fn(&str) -> io::Result<Vec<SocketAddr>>) -> io::Result<Vec<SocketAddr>> {
    ask(name).or_else(|error| {
        let is_absolute = name.ends_with('.');
        // One with fewer dots may be a service of the cluster, which is not found for a moment: nothing goes to whoever
        // has that name in the world.
        if is_absolute || name.matches('.').count() < 2 {
            return Err(error);
        }
        log::debug!("{name} is not found ({error}): it is looked up as an absolute name");
        ask(&format!("{name}.")).map_err(|_| error)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn asked(name: &str, known: &str) -> (bool, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let found = look_up(name, |name| {
            asked.borrow_mut().push(name.to_owned());
            if name == known { Ok(Vec::new()) } else { Err(io::Error::other("Try again")) }
        });
        (found.is_ok(), asked.into_inner())
    }

    #[test]
    fn a_name_that_fails_is_looked_up_as_an_absolute_one() {
        assert_eq!(asked("s3.x.com", "s3.x.com."), (true, vec!["s3.x.com".into(), "s3.x.com.".into()]));
        assert_eq!(asked("minio.store", "minio.store"), (true, vec!["minio.store".into()]));
        assert_eq!(asked("minio", "minio."), (false, vec!["minio".into()]));
        assert_eq!(asked("minio.store", "minio.store."), (false, vec!["minio.store".into()]));
        assert_eq!(asked("s3.x.com.", ""), (false, vec!["s3.x.com.".into()]));
    }
}
