//! Private files on volumes that the kubelet opens to a group.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::Mode;
use rustix::process::{geteuid, umask};

/// Mode bits that let users other than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// Mode bits that must be 0 in a private file, even with `fsGroup`. At each start of a pod the kubelet adds 0660 to a
/// volume's files, 0770 and setgid to its directories (Kubernetes: `pkg/volume/volume_linux.go`,
/// `changeFilePermission`).
const BEYOND_GROUP: u32 = 0o007;

/// Returns whether only the owner can write the file. If the kubelet opened it to the group, and the file is ours, this
/// function removes the group's rights again. A member of the group may have changed the file meanwhile, like the dump
/// itself: members of `fsGroup` are trusted. But nobody else can have made the file.
///
/// # Errors
/// When fstat(2) or chmod(2) fails.
pub fn is_private(file: &File, path: &Path) -> io::Result<bool> {
    let meta = file.metadata()?;
    if meta.mode() & OTHERS_WRITE == 0 {
        return Ok(true);
    }
    // Root may write as the JVM's user, so root may change the mode of any owner's file. Callers check the owner
    // elsewhere.
    let may_take_back = meta.uid() == geteuid().as_raw() || geteuid().is_root();
    if !may_take_back || meta.mode() & BEYOND_GROUP != 0 {
        return Ok(false);
    }
    file.set_permissions(Permissions::from_mode(meta.mode() & 0o700))?;
    // Some file systems accept any mode, but keep their own (mount.cifs(8), `file_mode`).
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

/// Keeps all rights of the owner in the umask. Otherwise a run could not list its own directory or read its own file,
/// and would leave it behind.
pub fn keep_rights_of_owner() {
    let old = umask(OWNER_ALONE);
    umask(old & OWNER_ALONE);
}

/// The bits of a umask that concern users other than the owner.
const OWNER_ALONE: Mode = Mode::RWXG.union(Mode::RWXO);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_of_group_are_taken_back_and_others_are_refused() {
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
