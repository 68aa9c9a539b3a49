//! How the `weir` binary is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    // The targets for which `.cargo/config.toml` chooses a linker that can do this.
    let mold = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if mold && is("PROFILE", "release") {
        // Functions that were compiled to the same code are kept once: the binary, and the memory
        // of each process, is smaller by a megabyte and a half.
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
