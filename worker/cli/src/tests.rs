//! What the engine is told, and how a command ends.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::*;

/// An engine that writes down what it is told.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    problems: Vec<String>,
}

impl Told {
    fn tell(&self, line: String) {
        self.lines.lock().expect("whole").push(line);
    }

    /// Gives a command line and returns how it ended, and what the engine was told by it.
    fn run(&self, line: &str) -> (Exit, String) {
        self.lines.lock().expect("whole").clear();
        let words = ["weir"].into_iter().chain(line.split_whitespace());
        let exit = run(self, words.map(OsString::from));
        (exit, self.lines.lock().expect("whole").join("\n"))
    }
}

impl Engine for Told {
    fn programs(&self) -> Vec<ProgramSummary> {
        Vec::new()
    }

    fn run(&self, request: RunRequest) -> Result<Exit, Failure> {
        self.tell(format!("run {:?}", request.checkpoints));
        Ok(Exit::Finished)
    }

    fn jobmanager(&self, request: JobManagerRequest) -> Result<Exit, Failure> {
        let (deployment, election) = (request.deployment, request.election_dir);
        self.tell(format!(
            "jobmanager {deployment:?} {election:?} {:?}",
            request.checkpoints.dir
        ));
        Ok(Exit::Finished)
    }

    fn taskmanager(&self, request: TaskManagerRequest) -> Result<Exit, Failure> {
        self.tell(format!(
            "taskmanager {:?} {:?}",
            request.jobmanagers, request.deployment
        ));
        Ok(Exit::Finished)
    }

    fn explain(&self, _: LocalJob) -> Result<weir_graph::Explanation, Failure> {
        Err(Failure::failed(anyhow::anyhow!("nothing to explain")))
    }

    fn checkpoints_ls(&self, request: StoreRequest) -> Result<StoreListing, Failure> {
        self.tell(format!("ls {request:?}"));
        Ok(StoreListing::default())
    }

    fn checkpoints_inspect(&self, request: InspectRequest) -> Result<SnapshotReport, Failure> {
        self.tell(format!("inspect {:?} {request:?}", request.which));
        Ok(SnapshotReport::default())
    }

    fn fsck(&self, request: FsckRequest) -> Result<FsckReport, Failure> {
        self.tell(format!("fsck {:?}", request.store.jobs));
        Ok(FsckReport {
            jobs: vec![JobCheck {
                problems: self.problems.clone(),
                ..JobCheck::default()
            }],
        })
    }

    fn checkpoints_clear(&self, request: ClearRequest) -> Result<GcReport, Failure> {
        self.tell(format!("clear {:?}", request.deployment));
        Ok(GcReport::default())
    }

    fn gc(&self, request: GcRequest) -> Result<GcReport, Failure> {
        self.tell(format!("gc {} {:?}", request.delete, request.grace));
        Ok(GcReport {
            deleted: request.delete,
            jobs: vec![JobGarbage {
                problems: self.problems.clone(),
                ..JobGarbage::default()
            }],
        })
    }
}

fn example() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/wordcount.yaml");
    root.display().to_string()
}

#[test]
fn what_runs_is_told_of_checkpoints_deployment_and_standbys() {
    let engine = Told::default();
    let line = format!(
        "run {} --checkpoint-dir s --restore s/job/chk-1-2",
        example()
    );
    let (exit, told) = engine.run(&line);
    assert_eq!(exit, Exit::Finished);
    let expected = CheckpointArgs {
        dir: Some("s".to_owned()),
        restore: Some(RestoreChoice::Path("s/job/chk-1-2".to_owned())),
        ..CheckpointArgs::default()
    };
    assert_eq!(told, format!("run {expected:?}"));

    let options = "--deployment 7 --election-dir e --checkpoint-dir s";
    let (_, told) = engine.run(&format!("jobmanager {} {options}", example()));
    assert_eq!(told, r#"jobmanager Some(7) Some("e") Some("s")"#);
    let (_, told) = engine.run("taskmanager --jobmanager a:1,b:2 --deployment 7");
    assert_eq!(told, r#"taskmanager ["a:1", "b:2"] Some(7)"#);
}

#[test]
fn stores_are_asked_without_a_jobmanager() {
    let engine = Told::default();
    let (exit, told) = engine.run("checkpoints ls --dir s3://b/p --s3-region eu");
    assert_eq!(exit, Exit::Finished);
    let s3 = [("s3.region".to_owned(), "eu".to_owned())];
    let store = StoreRequest {
        location: "s3://b/p".to_owned(),
        options: s3.into(),
        jobs: Vec::new(),
    };
    assert_eq!(told, format!("ls {store:?}"));

    let inspected = |line| engine.run(line).1;
    assert!(inspected("checkpoints inspect 12 --dir s --job w").starts_with("inspect Number(12)"));
    let told = inspected("checkpoints inspect s/w/chk-1-2");
    assert!(
        told.starts_with("inspect Here") && told.contains(r#""s/w/chk-1-2""#),
        "{told}"
    );
    let (exit, told) = engine.run("checkpoints inspect s/w/chk-1-2 --dir s");
    assert_eq!((exit, told.as_str()), (Exit::Usage, ""));
}

#[test]
fn garbage_stays_unless_deleting_is_asked_for() {
    let engine = Told::default();
    let hour = Duration::from_secs(3600);
    assert_eq!(engine.run("gc s").1, format!("gc false {hour:?}"));
    assert_eq!(engine.run("gc s --delete --grace 5m").1, "gc true 300s");
    assert_eq!(engine.run("checkpoints clear s").1, "clear None");
    let line = "checkpoints clear s --deployment 3";
    assert_eq!(engine.run(line).1, "clear Some(3)");
}

#[test]
fn damage_makes_a_check_fail() {
    let mut engine = Told::default();
    for line in ["fsck s --job a", "gc s", "fsck s --format json"] {
        assert_eq!(engine.run(line).0, Exit::Finished, "{line}");
    }
    engine
        .problems
        .push("its pointer cannot be read".to_owned());
    for line in ["fsck s --job a", "gc s", "fsck s --format json"] {
        assert_eq!(engine.run(line).0, Exit::Failed, "{line}");
    }
}
