use super::*;
use crate::fixtures::{co_location, diamond, rescale, side_output, wordcount};
use crate::stream_graph::StreamGraph;

fn explained(graph: &StreamGraph) -> Explanation {
    explain(&JobGraph::from_stream_graph(graph))
}

#[test]
fn the_texts_are_as_they_were() {
    insta::assert_snapshot!("wordcount", explained(&wordcount(2)));
    insta::assert_snapshot!("diamond_two_inputs", explained(&diamond(2)));
    insta::assert_snapshot!("side_output", explained(&side_output()));
    insta::assert_snapshot!("rescale", explained(&rescale()));
    insta::assert_snapshot!("co_location", explained(&co_location()));
}

#[test]
fn the_json_is_as_it_was() {
    insta::assert_snapshot!("wordcount_json", explained(&wordcount(2)).to_json());
    insta::assert_snapshot!("rescale_json", explained(&rescale()).to_json());
}

#[test]
fn the_json_reads_back() {
    let explanation = explained(&diamond(3));
    let read: Explanation = serde_json::from_str(&explanation.to_json()).expect("read");
    assert_eq!(read, explanation);
}
