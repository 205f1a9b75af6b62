//! File systems on which locks and leases are reliable.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::fstatfs;

use crate::base::sys::nobody_writes;

/// File systems that only this kernel writes to (statfs(2); Linux: `include/uapi/linux/magic.h`): ext, XFS, Btrfs,
/// F2FS, ZFS, overlayfs, tmpfs. On all others a lease proves nothing. A process of FUSE, a server of 9P, NFS, SMB or
/// Ceph, or another node may still write. FUSE and 9P grant the lease all the same (Linux: `fs/locks.c`,
/// `generic_setlease`, which counts only the writers of this mount).
const OF_ONE_KERNEL: [u64; 7] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x794c_7630, 0x0102_1994];

/// Returns whether locks and leases on this file system see every writer.
///
/// # Errors
/// When statfs(2) fails.
pub fn is_of_one_kernel(file: impl AsFd) -> io::Result<bool> {
    Ok(is_known(fstatfs(file)?.f_type as u64))
}

fn is_known(f_type: u64) -> bool {
    // Some kernels and libraries sign-extend 32 bits.
    OF_ONE_KERNEL.contains(&(f_type & 0xffff_ffff))
}

/// Returns whether a process has the file open for writing.
///
/// # Errors
/// `Unsupported` on file systems where nobody can tell.
pub fn is_written(file: &File) -> io::Result<bool> {
    if !is_of_one_kernel(file)? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    nobody_writes(file).map(|nobody| !nobody)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_of_fuse_and_of_networks_do_not_count() {
        // FUSE and virtiofs, 9P, NFS, SMB 1 and 2, Ceph, GlusterFS by FUSE, Lustre, OCFS2, GFS2, AFS, vboxsf, prl_fs.
        for foreign in [
            0x6573_5546,
            0x0102_1997,
            0x6969,
            0xff53_4d42,
            0xfe53_4d42,
            0x00c3_6400,
            0x0bd0_0bd0,
            0x7461_636f,
            0x0116_1970,
            0x5346_414f,
            0x786f_4256,
            0x7c7c_6673,
        ] {
            assert!(!is_known(foreign), "{foreign:#x}");
        }
        for known in [0xef53, 0x5846_5342, 0xffff_ffff_9123_683e, 0xf2f5_2010, 0x0102_1994, 0x794c_7630] {
            assert!(is_known(known), "{known:#x}");
        }
        assert!(
            matches!(is_written(&File::open("/proc/version").unwrap()), Err(error) if error.kind() == io::ErrorKind::Unsupported)
        );
    }
}
