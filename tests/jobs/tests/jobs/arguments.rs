//! Arguments of the programs that ship: what cannot be is refused with exit code 2, by its name,
//! and nothing is started.

use crate::harness::{Folder, done_in_one};

/// A program, what it is given, and what it says of that.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "wordcount",
        "rate=fast",
        "argument `rate`: `fast` is not f64",
    ),
    (
        "wordcount",
        "overwrite=yes",
        "argument `overwrite`: `yes` is not bool",
    ),
    (
        "wordcount",
        "bad-records=no",
        "argument `bad-records`: `no` is not BadRecords",
    ),
    (
        "wordcount",
        "outptu=x",
        "unknown argument `outptu`; the program takes: bad-records, ",
    ),
    (
        "wordcount",
        "output=",
        "argument `output` is empty: give it a value",
    ),
    (
        "fraud-detection",
        "small=little",
        "argument `small`: `little` is not f64",
    ),
    (
        "fraud-detection",
        "large=NaN",
        "argument `large`: NaN is no amount",
    ),
    (
        "top-pages",
        "window=-5",
        "argument `window`: `-5` is not u64",
    ),
    (
        "top-pages",
        "window=0",
        "argument `window` must be at least 1 second",
    ),
    (
        "top-pages",
        "slide=0",
        "argument `slide` must be at least 1 second",
    ),
    (
        "top-pages",
        "window=9999999999",
        "a request would be counted in 166666667 windows",
    ),
    ("top-pages", "top=few", "argument `top`: `few` is not usize"),
    (
        "top-pages",
        "late-output=",
        "argument `late-output`: the folder's name is empty",
    ),
    (
        "top-pages",
        "late-output=results/",
        "argument `late-output`: it is the folder of the results",
    ),
    (
        "top-pages",
        "out-of-order=1.5",
        "argument `out-of-order`: `1.5` is not u64",
    ),
];

#[test]
fn values_that_cannot_be_are_refused_with_the_arguments_name() {
    for (program, arg, part) in REFUSED {
        let folder = Folder::new();
        let mut args = folder.job(program, "in");
        args.extend(["--arg", arg].map(str::to_owned));
        if arg.ends_with("results/") {
            args.extend(["--arg", "output=results"].map(str::to_owned));
        }
        let ended = done_in_one(&args);
        ended.expect(2, &[&format!("error: build program `{program}`"), part]);
        assert!(!folder.path("out").exists(), "nothing was started");
    }
}

#[test]
fn rates_at_the_edge_of_the_numbers_are_kept_or_refused() {
    let folder = Folder::new();
    folder.write("in", "a b\nc\n");
    for (rate, code, part) in [
        ("1e300", 0, "finished: 2 records"),
        ("0", 1, "a file source cannot read 0 lines per second"),
        ("-1", 1, "a file source cannot read -1 lines per second"),
        ("inf", 1, "a file source cannot read inf lines per second"),
    ] {
        let mut args = folder.job("wordcount", "in");
        args.extend(["--arg".to_owned(), format!("rate={rate}")]);
        done_in_one(&args).expect(code, &[part]);
        if code == 0 {
            assert_eq!(folder.counted().len(), 3);
            std::fs::remove_dir_all(folder.path("out")).expect("removed");
        }
    }
}
