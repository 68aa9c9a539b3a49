//! What a person reads when a manifest is wrong, word for word. The cases are in `testdata`: the
//! lines of a manifest, then `=>` and the message.

use weir_crd::StreamJob;

/// What each case of `refused_specs.txt` is added to, from line 8 on.
const HEAD: &str = "\
apiVersion: weir.dev/v1alpha1
kind: StreamJob
metadata:
  name: wordcount
spec:
  job:
    program: wordcount
";

fn message(text: &str) -> String {
    match StreamJob::from_yaml("job.yaml", text) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Checks each case of a file, and shows all those that differ at once.
#[track_caller]
fn check_cases(file: &str, head: &str, cases_min: usize) {
    let (mut text, mut cases, mut wrong) = (head.to_owned(), 0, Vec::new());
    for line in file.lines().filter(|line| !line.is_empty()) {
        if let Some(expected) = line.strip_prefix("=> ") {
            let message = message(&text);
            if message != expected {
                wrong.push(format!("{text}=> {message}\nnot {expected}\n"));
            }
            text = head.to_owned();
            cases += 1;
        } else if !line.starts_with("## ") {
            text.push_str(line);
            text.push('\n');
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(cases >= cases_min, "only {cases} cases");
}

#[test]
fn texts_that_are_no_manifest() {
    check_cases(include_str!("testdata/refused_manifests.txt"), "", 20);
}

#[test]
fn manifests_with_a_wrong_spec() {
    check_cases(include_str!("testdata/refused_specs.txt"), HEAD, 70);
}

#[test]
fn texts_that_a_file_of_cases_can_not_hold() {
    let empty = "job.yaml:1:1: the manifest is empty; a StreamJob begins with `apiVersion: weir.dev/v1alpha1`";
    let two = format!("{HEAD}---\n{HEAD}");
    let long_field = format!("{HEAD}    {}: x\n", "y".repeat(100));
    let shown = "y".repeat(60);
    let unknown = format!(
        "job.yaml:8:5: unknown field `{shown}…` in `spec.job`; the fields here are \
         `allowNonRestoredState`, `args`, `config`, `env`, `maxParallelism`, `parallelism` and \
         `program`"
    );
    let long_name = HEAD.replace("name: wordcount", &format!("name: {}", "w".repeat(46)));
    for (text, expected) in [
        ("", empty),
        ("\n\n", empty),
        (
            "\u{0}\u{1}binary",
            "job.yaml:1:1: not valid YAML: unexpected character: `\\u{0}'",
        ),
        (
            "a:\n\t- b\n",
            "job.yaml:2:2: not valid YAML: tabs disallowed within this context (block indentation)",
        ),
        (
            two.as_str(),
            "job.yaml:8:1: a second document begins here; a manifest file holds one StreamJob",
        ),
        (long_field.as_str(), unknown.as_str()),
        (
            long_name.as_str(),
            "job.yaml:4:9: `metadata.name` has 46 characters; at most 45 are possible",
        ),
    ] {
        assert_eq!(message(text), expected, "{text}");
    }
    let error = StreamJob::from_yaml_bytes("job.yaml", b"a: b\nc: \xc3\xa4\xff\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "job.yaml:2:5: invalid UTF-8 at byte 10; a manifest is UTF-8 text"
    );
}
