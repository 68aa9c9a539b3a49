//! A disk that is soon full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk, mounted over a folder for as long as this is kept.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it. None where this process may not mount.
    pub fn mount(folder: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(folder).expect("a folder");
        let size = format!("size={bytes}");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(folder)
            .output();
        done.is_ok_and(|done| done.status.success())
            .then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}
