//! The example manifests of this repository are read without a complaint.

use std::fs;
use std::path::{Path, PathBuf};

use weir_crd::{Overrides, StreamJob};

fn yaml_files_under(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            yaml_files_under(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_example_is_a_manifest_that_can_run_here() {
    let mut files = Vec::new();
    yaml_files_under(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"),
        &mut files,
    );
    for file in files {
        let text = fs::read_to_string(&file).expect("an example is a text");
        if !text.contains("kind: StreamJob") {
            continue;
        }
        let name = file.display().to_string();
        let job = StreamJob::from_yaml(&name, &text).map_err(|error| error.to_string());
        let local = job.map(|job| job.resolve_local(&Overrides::default()));
        assert!(matches!(local, Ok(Ok(_))), "{name}: {local:?}");
    }
}
