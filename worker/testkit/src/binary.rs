//! Finds the `weir` binary, and brings it up to date if need be.
//!
//! It belongs to another package, and cargo tells a test only where its own package's programs are.
//! Beside each program cargo lists the sources it was made of: if one of them is newer, cargo is
//! asked to build it. In a test of the whole workspace it has just been built. Another binary can
//! be named with `WEIR_TEST_BINARY`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use crate::root;

/// The `weir` of the sources as they are.
pub fn weir_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("WEIR_TEST_BINARY") {
            return PathBuf::from(path);
        }
        // `<target>/<profile>/deps/<this test>` or `<target>/<profile>/<this program>`.
        let test = std::env::current_exe().expect("this test's own path");
        let mut profile = test.parent().expect("a folder").to_owned();
        if profile.ends_with("deps") {
            profile.pop();
        }
        let binary = profile.join("weir");
        if !is_fresh(&binary) {
            build(&profile);
        }
        binary
    })
}

/// Whether the binary is newer than everything that cargo made it of.
fn is_fresh(binary: &Path) -> bool {
    let Some(built) = changed(binary) else {
        return false;
    };
    let Ok(sources) = fs::read_to_string(binary.with_extension("d")) else {
        return false;
    };
    let Some((_, sources)) = sources.split_once(": ") else {
        return false;
    };
    // A space inside a path is written as `\ `.
    let sources = sources.replace("\\ ", "\0");
    sources.split_whitespace().all(|source| {
        changed(Path::new(&source.replace('\0', " "))).is_some_and(|time| time <= built)
    })
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = profile.parent().expect("a target folder");
    let mut command = Command::new(cargo);
    // By the whole workspace's features, like everything else: by fewer, dependencies would be
    // built a second time.
    command.args([
        "build",
        "--locked",
        "--quiet",
        "--workspace",
        "--bin",
        "weir",
    ]);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let built = command
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target)
        .output();
    let built = built.expect("cargo runs");
    assert!(
        built.status.success(),
        "build weir: {}",
        String::from_utf8_lossy(&built.stderr)
    );
}
