//! Programs that ship have a manifest to run them with and a page that explains them.

use std::collections::BTreeSet;

use crate::text::numbered;
use crate::{Tree, Violation};

const SOURCE: &str = "worker/programs/src";

/// Checks the programs against `examples/` and `docs/`, in both directions.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let programs = programs(tree);
    let mut found = Vec::new();
    for (program, path) in &programs {
        let manifest = format!("examples/{program}.yaml");
        if !tree.exists(&manifest) {
            found.push(Violation::new(
                path,
                0,
                format!("write `{manifest}` to run it with"),
            ));
        }
        let page = format!("/{program}.md");
        if !tree.below("docs").any(|path| path.ends_with(&page)) {
            found.push(Violation::new(
                path,
                0,
                format!("write a page `docs/…{page}` about it"),
            ));
        }
    }
    let manifests = tree
        .below("examples")
        .filter(|path| path.ends_with(".yaml"));
    for path in manifests {
        let text = tree.text(path).unwrap_or_default();
        for (number, line) in numbered(text) {
            let Some(program) = line.trim().strip_prefix("program:") else {
                continue;
            };
            let program = program.trim().trim_matches('"');
            if !programs.iter().any(|(name, _)| name == program) {
                let message = format!("no program `{program}` ships: {SOURCE} has no such module");
                found.push(Violation::new(path, number, message));
            }
        }
    }
    found
}

/// Names and files. A module is a program when its name, with `-` for `_`, is a literal of the
/// crate: that is how the registry names it.
fn programs(tree: &Tree) -> BTreeSet<(String, &str)> {
    let registered = |name: &str| {
        let literal = format!("\"{name}\"");
        tree.below(SOURCE)
            .filter_map(|path| tree.text(path))
            .any(|text| text.contains(&literal))
    };
    tree.below(SOURCE)
        .filter_map(|path| {
            let module = path
                .strip_prefix(SOURCE)?
                .strip_prefix('/')?
                .strip_suffix(".rs")?;
            let name = module.replace('_', "-");
            (!module.contains('/') && registered(&name)).then_some((name, path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::of_files(files.iter().copied());
        check(&tree).iter().map(ToString::to_string).collect()
    }

    const LIB: (&str, &str) = (
        "worker/programs/src/lib.rs",
        "\"top-pages\" => top_pages::build,",
    );
    const PROGRAM: (&str, &str) = ("worker/programs/src/top_pages.rs", "");
    const HELPER: (&str, &str) = ("worker/programs/src/apache_log.rs", "");

    #[test]
    fn a_program_with_manifest_and_page_is_fine_and_a_helper_needs_none() {
        let manifest = (
            "examples/top-pages.yaml",
            "spec:\n  job:\n    program: top-pages\n",
        );
        let page = ("docs/programs/top-pages.md", "");
        assert_eq!(
            found(&[LIB, PROGRAM, HELPER, manifest, page]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_program_without_manifest_and_page_is_found() {
        let both = found(&[LIB, PROGRAM]);
        assert!(both[0].contains("examples/top-pages.yaml"), "{both:?}");
        assert!(both[1].contains("top-pages.md"), "{both:?}");
    }

    #[test]
    fn a_manifest_of_a_program_that_does_not_ship_is_found_with_its_line() {
        let one = found(&[("examples/old.yaml", "spec:\n  program: \"old\"\n")]);
        assert!(
            one[0].starts_with("examples/old.yaml:2: no program `old`"),
            "{one:?}"
        );
    }
}
