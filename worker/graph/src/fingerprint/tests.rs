use super::*;
use crate::fixtures::{diamond, wordcount};
use crate::stream_graph::StreamGraph;

fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn of(
    graph: &StreamGraph,
    args: &[(&str, &str)],
    config: &[(&str, &str)],
    exe: &str,
) -> Fingerprint {
    fingerprint(
        &JobGraph::from_stream_graph(graph),
        &map(args),
        &map(config),
        exe,
    )
}

#[test]
fn equal_jobs_have_equal_fingerprints() {
    let args = [("input", "a"), ("output", "b")];
    let ours = of(&wordcount(2), &args, &[("x", "1")], "hash");
    let theirs = of(&wordcount(2), &args, &[("x", "1")], "hash");
    assert_eq!(ours, theirs);
    assert_eq!(ours.to_string(), theirs.to_string());
    assert_eq!(ours.to_string().len(), 32);
    assert!(ours.differences(&theirs).is_empty());
}

/// Fails if a part is left out, or taken for another.
#[test]
fn a_mismatch_names_exactly_the_part_that_differs() {
    let ours = of(&wordcount(2), &[("a", "1")], &[("c", "1")], "hash");
    let rows = [
        (
            of(&wordcount(3), &[("a", "1")], &[("c", "1")], "hash"),
            "the graph differs",
        ),
        (
            of(&diamond(2), &[("a", "1")], &[("c", "1")], "hash"),
            "the graph differs",
        ),
        (
            of(&wordcount(2), &[("a", "2")], &[("c", "1")], "hash"),
            "the arguments differ",
        ),
        (
            of(&wordcount(2), &[("a", "1")], &[], "hash"),
            "the configuration differs",
        ),
        (
            of(&wordcount(2), &[("a", "1")], &[("c", "1")], "other"),
            "the executable differs",
        ),
    ];
    for (theirs, want) in rows {
        assert_eq!(ours.differences(&theirs), [want]);
        assert_ne!(ours.to_string(), theirs.to_string());
    }
}

#[test]
fn maps_whose_texts_run_together_differ() {
    let ours = PartHash::of_map(&map(&[("a", "b1:c1:d")]));
    let theirs = PartHash::of_map(&map(&[("a", "b"), ("c", "d")]));
    assert_ne!(ours, theirs);
    assert_ne!(
        PartHash::of_map(&map(&[("ab", "c")])),
        PartHash::of_map(&map(&[("a", "bc")]))
    );
}

#[test]
fn a_diff_of_graphs_shows_only_what_differs() {
    let job = |parallelism| JobGraph::from_stream_graph(&wordcount(parallelism));
    assert_eq!(diff_graphs(&job(2), &job(2)), "");
    let mut other = job(2);
    other.vertices[1].operators[1].name = "sink: other".to_owned();
    let diff = diff_graphs(&job(2), &other);
    let lines: Vec<_> = diff.lines().collect();
    assert_eq!(lines.len(), 2, "{diff}");
    assert!(
        lines[0].starts_with("- ") && lines[0].contains("sink: csv"),
        "{diff}"
    );
    assert!(
        lines[1].starts_with("+ ") && lines[1].contains("sink: other"),
        "{diff}"
    );
}

/// Fails if two graphs differ but the refusal has nothing to show for it.
#[test]
fn a_diff_says_so_when_only_the_order_differs() {
    let job = JobGraph::from_stream_graph(&wordcount(2));
    let mut other = job.clone();
    other.edges[0].id = crate::EdgeId(9);
    assert!(diff_graphs(&job, &other).contains("another order"));
}

#[test]
fn a_diff_of_maps_names_keys_and_hides_values() {
    let ours = map(&[("same", "1"), ("password", "secret"), ("here", "1")]);
    let theirs = map(&[("same", "1"), ("password", "hidden"), ("there", "1")]);
    let want = [
        "`here` is missing there",
        "`password` has another value",
        "`there` is missing here",
    ];
    assert_eq!(diff_maps(&ours, &theirs), want);
}
