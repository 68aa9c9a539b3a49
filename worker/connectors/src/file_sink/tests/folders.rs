//! What only a folder has: contents that somebody changes, and names that lead elsewhere.

use weir_stream::OperatorSnapshot;

use super::places::Place;
use super::two_phases::Attempt;
use super::*;

/// A subtask that has published "a", and its checkpoint.
fn published(place: &Place) -> OperatorSnapshot {
    let mut sink = Attempt::start(place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (id, snapshot) = sink.snapshot();
    sink.commit(id);
    snapshot
}

fn in_a_folder() -> (Place, std::path::PathBuf) {
    let folder = folder();
    let path = folder.path().to_owned();
    (Place::Folder(folder), path)
}

#[test]
fn a_published_file_with_another_content_is_an_error_that_names_it() {
    let (place, folder) = in_a_folder();
    let snapshot = published(&place);
    for content in ["b,1\n", "a,1\na,1\n", ""] {
        fs::write(folder.join("part-1-0-0-000000.csv"), content).expect("writes");
        let error = Attempt::start(&place, 2, (0, 1), vec![snapshot.clone()]);
        let error = error.err().expect("is another file");
        let cause = crate::testing::root_cause(&error);
        assert!(
            cause.contains("part-1-0-0-000000.csv") && cause.contains("4 bytes"),
            "{cause}"
        );
    }
}

#[test]
fn a_file_that_is_there_twice_is_published_once() {
    let (place, folder) = in_a_folder();
    let mut sink = Attempt::start(&place, 1, (0, 1), Vec::new()).expect("opens");
    sink.write("a");
    let (_, snapshot) = sink.snapshot();
    // Copied by somebody, or put back from a backup.
    let in_progress = folder.join(".part-1-0-0-000000.csv.inprogress");
    fs::copy(in_progress, folder.join("part-1-0-0-000000.csv")).expect("copies");
    Attempt::start(&place, 2, (0, 1), vec![snapshot]).expect("goes on");
    assert_eq!(place.words(), ["a"]);
    assert_eq!(place.hidden(), 0);
}

#[test]
fn results_that_lie_in_a_bucket_are_not_looked_for_in_a_folder_nor_the_other_way_round() {
    let bucket = Place::in_memory().expect("there always is one");
    let (place, _) = in_a_folder();
    for (was, now, text) in [(&bucket, &place, "a bucket"), (&place, &bucket, "a folder")] {
        let snapshot = published(was);
        let error = Attempt::start(now, 2, (0, 1), vec![snapshot]);
        let cause = crate::testing::root_cause(&error.err().expect("is elsewhere"));
        assert!(cause.contains(text) && cause.contains("output"), "{cause}");
    }
}

#[test]
fn a_handle_that_leads_out_of_the_folder_is_refused() {
    let folder = folder();
    let mut writer = open(&FileSink::<Pair>::csv(folder.path()), &context(0, 1));
    let handle = handle::PartHandle {
        in_progress: ".part-1-0-0-000000.csv.inprogress".to_owned(),
        name: "../part-1-0-0-000000.csv".to_owned(),
        size: 0,
        checksum: 0,
    };
    let handle = crate::encoding::encode(&handle).expect("encodes");
    let error = writer.commit(&[handle]).expect_err("leads elsewhere");
    assert!(
        error.to_string().contains("is no name of a part file"),
        "{error}"
    );
}
