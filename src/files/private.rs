//! What its owner alone may have written, on volumes that the kubelet gives to a group.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};

/// Anybody but the owner.
const OTHERS_WRITE: u32 = 0o022;

/// With `fsGroup`, each start of a pod adds 0660 to a volume's files, 0770 and setgid to its directories (Kubernetes:
/// `pkg/volume/volume_linux.go`, `changeFilePermission`): what was private has nothing here even then.
const BEYOND_GROUP: u32 = 0o007;

/// Whether its owner alone can write to it. What the kubelet has given to the group is taken back, if it is ours. A
/// member of the group may have changed it meanwhile, as well as the dump itself: whom `fsGroup` names is trusted so
/// far. But nobody else can have made it.
///
/// # Errors
/// When it cannot be looked at, or be taken back.
pub fn is_private(file: &File, path: &Path) -> io::Result<bool> {
    let meta = file.metadata()?;
    if meta.mode() & OTHERS_WRITE == 0 {
        return Ok(true);
    }
    // Root has written it as the JVM's user; whose it may be is asked elsewhere.
    let may_take_back = meta.uid() == geteuid().as_raw() || geteuid().is_root();
    if !may_take_back || meta.mode() & BEYOND_GROUP != 0 {
        return Ok(false);
    }
    file.set_permissions(Permissions::from_mode(meta.mode() & 0o700))?;
    // Some file systems take any mode, and keep their own (mount.cifs(8), `file_mode`).
    if file.metadata()?.mode() & OTHERS_WRITE != 0 {
        return Ok(false);
    }
    log::warn!(
        "{} was open to group {}, as fsGroup makes it; it is this user's alone again",
        path.display(),
        meta.gid()
    );
    Ok(true)
}

/// Whatever the umask takes from others, it takes nothing from the owner: a directory that its owner cannot list, or a file
/// that he cannot read again, would be left behind.
pub fn keep_rights_of_owner() {
    let old = umask(OWNER_ALONE);
    umask(old & OWNER_ALONE);
}

/// What a umask takes from all but the owner.
const OWNER_ALONE: Mode = Mode::RWXG.union(Mode::RWXO);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_was_given_is_taken_back_and_what_anybody_was_given_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let judged = |mode: u32| {
            file.as_file().set_permissions(Permissions::from_mode(mode)).unwrap();
            let private = is_private(file.as_file(), file.path()).unwrap();
            (private, file.as_file().metadata().unwrap().mode() & 0o7777)
        };
        assert_eq!(judged(0o600), (true, 0o600));
        assert_eq!(judged(0o644), (true, 0o644));
        assert_eq!(judged(0o660), (true, 0o600));
        assert_eq!(judged(0o2770), (true, 0o700));
        assert_eq!(judged(0o662), (false, 0o662));
        assert_eq!(judged(0o664), (false, 0o664));
    }
}
