use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{CONDITIONS, EVENTS, pages};

/// `UPDATE_GENERATED=1 cargo test -p weir-controller` writes them anew.
#[test]
fn the_pages_of_the_documentation_are_those_of_the_tables() {
    for (name, page) in [
        ("conditions.md", pages::conditions()),
        ("events.md", pages::events()),
    ] {
        let path = format!(
            "{}/../../docs/kubernetes/{name}",
            env!("CARGO_MANIFEST_DIR")
        );
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::create_dir_all(Path::new(&path).parent().expect("a folder")).expect("a folder");
            fs::write(&path, &page).expect("writes the page");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page,
            "docs/kubernetes/{name} is stale: UPDATE_GENERATED=1"
        );
    }
}

/// The crate's own sources, without tests and the tables.
fn sources() -> String {
    fn read(folder: &Path, into: &mut String) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && name != "tests" && name != "reasons" {
                read(&path, into);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                into.push_str(&fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    let mut text = String::new();
    read(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut text,
    );
    text
}

/// The words that follow a call as its first string: reasons, if they look like one.
fn reasons_after(sources: &str, call: &str) -> BTreeSet<String> {
    let calls = sources
        .match_indices(call)
        .map(|(at, _)| &sources[at + call.len()..]);
    calls
        .filter_map(|rest| {
            let arguments = rest.split(';').next()?;
            let literal = arguments.split('"').nth(1)?;
            let is_reason = literal.len() > 1
                && literal.starts_with(|c: char| c.is_ascii_uppercase())
                && literal.chars().all(|c| c.is_ascii_alphabetic());
            is_reason.then(|| literal.to_owned())
        })
        .collect()
}

#[test]
fn every_reason_in_the_code_has_its_row_and_every_row_its_place_in_the_code() {
    let sources = sources();
    let events: BTreeSet<_> = EVENTS.iter().map(|row| row.reason.to_owned()).collect();
    assert_eq!(events.len(), EVENTS.len(), "an event's reason stands twice");
    assert!(
        EVENTS.len() <= 30,
        "{} reasons of events: nobody learns more",
        EVENTS.len()
    );
    for call in [".tell(", ".fail(", ".give_up("] {
        for reason in reasons_after(&sources, call) {
            assert!(
                events.contains(&reason),
                "event reason {reason} has no row in reasons/events.rs"
            );
        }
    }
    let stands = |reason: &str| sources.contains(&format!("\"{reason}\""));
    for event in EVENTS {
        assert!(
            stands(event.reason),
            "event reason {} is not in the code",
            event.reason
        );
    }
    let known = |kind: &str| {
        let rows = CONDITIONS
            .iter()
            .filter(|row| row.kind == kind || kind.is_empty());
        let rows = rows.flat_map(|row| row.reasons);
        rows.map(|row| row.reason.to_owned())
            .collect::<BTreeSet<_>>()
    };
    for (call, kind) in [
        ("Problem::stalled(", "Stalled"),
        ("Verdict::new(", ""),
        (".find(Found::Storage", "StorageReachable"),
        (".find(Found::State", "StateCompatible"),
    ] {
        for reason in reasons_after(&sources, call) {
            assert!(
                known(kind).contains(&reason),
                "condition reason {reason} of {kind} has no row in reasons/table.rs"
            );
        }
    }
    for row in CONDITIONS.iter().flat_map(|row| row.reasons) {
        assert!(
            stands(row.reason),
            "condition reason {} is not in the code",
            row.reason
        );
    }
}
