//! The container's file system: the image, a layer of what differs between tests, and a writable layer on top.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::bed;
use super::super::tool::install;
use super::builder::{Builder, Mount, USER_NAMESPACE_BASE};

/// The directory of one container; unmounted and removed when dropped.
pub(super) struct Root {
    dir: TempDir,
    mounts: Vec<Mount>,
}

/// The image of a JVM, which `tests/bed/install.sh` has built.
pub(super) fn image(version: &str) -> Result<PathBuf, String> {
    let image = bed::bed().join(format!("rootfs-{version}"));
    if image.with_extension("stamp").exists() {
        Ok(image)
    } else {
        Err(format!("{} is not there; run tests/bed/install.sh", image.display()))
    }
}

impl Root {
    pub(super) fn make(builder: &Builder) -> Result<Root, String> {
        let dir = tempfile::Builder::new()
            .prefix(&format!("jmap-bed-{}-", std::process::id()))
            .permissions(Permissions::from_mode(0o755))
            .tempdir()
            .expect("a directory for the container");
        let root = Root { dir, mounts: builder.mounts.clone() };
        for name in ["bundle", "layer", "upper", "work", "merged"] {
            make_dir(&root.dir.path().join(name), 0o755);
        }
        fill_layer(&root.dir.path().join("layer"), builder);
        if builder.user_namespace {
            let base = Some(USER_NAMESPACE_BASE);
            chown(root.upper(), base, base).expect("chown of the upper directory");
        }
        root.mount((!builder.scratch).then_some(builder.image.as_path()))?;
        Ok(root)
    }

    pub(super) fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(super) fn upper(&self) -> PathBuf {
        self.dir.path().join("upper")
    }

    fn merged(&self) -> PathBuf {
        self.dir.path().join("merged")
    }

    fn mount(&self, image: Option<&Path>) -> Result<(), String> {
        let dir = self.dir.path().display();
        let image = image.map_or_else(String::new, |image| format!(":{}", image.display()));
        let options = format!("lowerdir={dir}/layer{image},upperdir={dir}/upper,workdir={dir}/work");
        let output = Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(self.merged())
            .output()
            .map_err(|e| format!("cannot start mount: {e}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("cannot mount an overlay: {}", said.trim()))
    }

    pub(super) fn copy_in(&self, from: &Path, inside: &str, init: u32) {
        // The host's view of the root is writable even if the container's is not; its other mounts are seen only through it.
        let below = |mount: &Mount| Path::new(inside).starts_with(mount.inside());
        let root =
            if self.mounts.iter().any(below) { PathBuf::from(format!("/proc/{init}/root")) } else { self.merged() };
        let to = root.join(inside.trim_start_matches('/'));
        install(from, &to);
    }

    pub(super) fn files(&self, init: u32) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        list(&self.upper(), "", &mut found);
        for mount in &self.mounts {
            let inside = mount.inside().trim_end_matches('/');
            match mount {
                Mount::Tmpfs { .. } => {
                    let path = format!("/proc/{init}/root{inside}");
                    list(Path::new(&path), inside, &mut found);
                }
                Mount::Bind { host, read_only: false, .. } if host.is_dir() => list(host, inside, &mut found),
                Mount::Bind { .. } => {}
            }
        }
        found.sort();
        found.dedup();
        found
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.merged()).output();
    }
}

fn fill_layer(layer: &Path, builder: &Builder) {
    if builder.tmp {
        make_dir(&layer.join("tmp"), 0o1777);
    }
    make_dir(&layer.join("etc"), 0o755);
    write_accounts(&layer.join("etc"), builder);
    if !builder.applets.is_empty() {
        add_busybox(&layer.join("bin"), &builder.applets);
    }
    // Made here, they are not in the writable layer.
    for mount in &builder.mounts {
        make_mount_point(layer, mount);
    }
}

fn write_accounts(etc: &Path, builder: &Builder) {
    let mut passwd = "root:x:0:0:root:/root:/sbin/nologin\n".to_owned();
    let mut group = "root:x:0:\n".to_owned();
    if builder.passwd_entry && builder.uid != 0 {
        passwd += &format!("app:x:{}:{}::/:/sbin/nologin\n", builder.uid, builder.gid);
    }
    if builder.passwd_entry && builder.gid != 0 {
        group += &format!("app:x:{}:\n", builder.gid);
    }
    fs::write(etc.join("passwd"), passwd).expect("passwd");
    fs::write(etc.join("group"), group).expect("group");
}

fn add_busybox(bin: &Path, applets: &[&str]) {
    make_dir(bin, 0o755);
    install(Path::new("/bin/busybox"), &bin.join("busybox"));
    for applet in applets {
        symlink("busybox", bin.join(applet)).expect("applet");
    }
}

fn make_mount_point(layer: &Path, mount: &Mount) {
    let point = layer.join(mount.inside().trim_start_matches('/'));
    let is_file = matches!(mount, Mount::Bind { host, .. } if host.is_file());
    let dir = if is_file { point.parent() } else { Some(point.as_path()) };
    fs::create_dir_all(dir.expect("a path below the root")).expect("mount point");
    if is_file {
        fs::write(&point, "").expect("mount point");
    }
    if matches!(mount, Mount::Tmpfs { .. }) {
        // runc gives a tmpfs the mode of the directory below it, whatever its options say.
        fs::set_permissions(&point, Permissions::from_mode(0o1777)).expect("mount point");
    }
}

fn make_dir(path: &Path, mode: u32) {
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

/// Files come and go while this walks; what has gone is not there.
fn list(dir: &Path, inside: &str, found: &mut Vec<(String, u64)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = format!("{inside}/{}", entry.file_name().to_string_lossy());
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.is_dir() {
            found.push((format!("{path}/"), 0));
            list(&entry.path(), &path, found);
        } else {
            found.push((path, metadata.len()));
        }
    }
}
