//! Texts that are checked in: what a person sees, as a whole.

use std::path::Path;

/// Compares with `golden/NAME.txt`. `UPDATE_GENERATED=1 cargo test -p weir-cli` writes it anew.
pub(crate) fn assert_golden(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let path = folder.join(format!("{name}.txt"));
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(&folder).expect("makes golden/");
        std::fs::write(&path, &text).expect("writes a golden file");
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, checked_in,
        "golden/{name}.txt: to accept, run with UPDATE_GENERATED=1"
    );
}
