//! `weir explain` of every example, as it was.

use crate::harness::done;

fn explained(more: &[&str]) -> String {
    let mut args = vec!["explain"];
    args.extend(more);
    let ended = done(args);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{ended:?}"
    );
    ended.stdout
}

#[test]
fn the_texts_are_as_they_were() {
    insta::assert_snapshot!("wordcount", explained(&["examples/wordcount.yaml"]));
    insta::assert_snapshot!(
        "fraud_detection",
        explained(&["examples/fraud-detection.yaml"])
    );
    insta::assert_snapshot!("page_views", explained(&["examples/page-views.yaml"]));
    insta::assert_snapshot!("top_pages", explained(&["examples/top-pages.yaml"]));
    let wide = [
        "examples/wordcount.yaml",
        "--parallelism",
        "200",
        "--arg",
        "input=nowhere",
    ];
    let refused = done(["explain"].into_iter().chain(wide));
    refused.expect(2, &["`spec.job.parallelism` is 200"]);
}

#[test]
fn the_json_is_as_it_was() {
    let args = [
        "examples/wordcount.yaml",
        "--parallelism",
        "4",
        "--format",
        "json",
    ];
    insta::assert_snapshot!("wordcount_json", explained(&args));
    let args = ["examples/top-pages.yaml", "--format", "json"];
    insta::assert_snapshot!("top_pages_json", explained(&args));
}
