//! Who of several JobManagers leads a job: on one machine, by a heartbeat file.
//!
//! Election only decides who *tries*: what keeps two leaders apart is the pointer, whose epoch the
//! winner claims before it does anything. So a file that two candidates write at once, or a leader
//! that is stopped and wakes up, costs a refused write and no record.
//!
//! The leader writes a counter into the file again and again. A candidate that has seen the file
//! unchanged for the time-out, on its own clock that never goes back, takes it over: no lock, as a
//! process that is stopped never lets go of one, and no wall clock, as that may jump. Where the
//! file shows that its writer was a process of this machine that has ended, nobody has to wait.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use weir_types::{Clock, Timestamp};

/// The name of the file.
const FILE: &str = "leader";

/// How often the leader writes, and how often a candidate looks.
const INTERVAL: Duration = Duration::from_millis(250);

/// After how long without a change the leader is taken for gone.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long two candidates that wrote at once wait before they look who came last.
const SETTLE: Duration = Duration::from_millis(30);

/// Stands for election and says who won.
pub trait LeaderElection: Send {
    /// Waits until this process is elected. `waiting` is told, now and then, for whom it waits;
    /// false from it ends the wait without an election.
    fn campaign(
        &mut self,
        waiting: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<Leadership>, ElectionError>;
}

/// The election cannot be held.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}: check the folder, or name another with `--election-dir`")]
pub struct ElectionError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// This process leads as long as it holds this, or until [`Leadership::is_lost`].
#[derive(Debug)]
pub struct Leadership {
    lost: Arc<AtomicBool>,
    resigned: Arc<AtomicBool>,
}

impl Leadership {
    /// A leadership won in an election that is held elsewhere, and its other side.
    pub fn begin() -> (Self, Term) {
        let lost = Arc::new(AtomicBool::new(false));
        let resigned = Arc::new(AtomicBool::new(false));
        let term = Term {
            lost: Arc::clone(&lost),
            resigned: Arc::clone(&resigned),
        };
        (Self { lost, resigned }, term)
    }

    /// Whether another process has been elected since.
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

/// A leadership, for whoever holds the election.
#[derive(Debug)]
pub struct Term {
    lost: Arc<AtomicBool>,
    resigned: Arc<AtomicBool>,
}

impl Term {
    /// Another process has been elected.
    pub fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Whether the leader has given up.
    pub fn has_resigned(&self) -> bool {
        self.resigned.load(Ordering::Acquire)
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.resigned.store(true, Ordering::Release);
    }
}

/// Election by a heartbeat file in a folder that all candidates see.
pub struct FileElection {
    folder: PathBuf,
    holder: String,
    /// Differs between candidates.
    nonce: u64,
    clock: Arc<dyn Clock>,
}

impl FileElection {
    /// A candidate. The holder's name is for people.
    pub fn new(
        folder: impl Into<PathBuf>,
        holder: impl Into<String>,
        nonce: u64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            folder: folder.into(),
            holder: holder.into(),
            nonce,
            clock,
        }
    }

    fn record(&self, counter: u64) -> Record {
        let pid = std::process::id();
        Record {
            nonce: self.nonce,
            counter,
            pid,
            life: process_life(pid).unwrap_or_default(),
            holder: self.holder.clone(),
        }
    }
}

impl LeaderElection for FileElection {
    fn campaign(
        &mut self,
        waiting: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Option<Leadership>, ElectionError> {
        let fault = |action, path: &Path| {
            let path = path.to_owned();
            move |source| ElectionError {
                action,
                path,
                source,
            }
        };
        fs::create_dir_all(&self.folder).map_err(fault("create", &self.folder))?;
        let path = self.folder.join(FILE);
        let mut judge = Judge::default();
        loop {
            let seen = read(&path).map_err(fault("read", &path))?;
            if judge.is_free(seen.as_ref(), self.clock.now()) {
                let own = self.record(1);
                write(&path, &own).map_err(fault("write", &path))?;
                thread::sleep(SETTLE);
                let now = read(&path).map_err(fault("read", &path))?;
                if now.is_some_and(|record| record.nonce == self.nonce) {
                    return Ok(Some(self.lead(path)));
                }
                continue;
            }
            let holder = seen.map_or_else(String::new, |record| record.holder);
            if !waiting(&holder) {
                return Ok(None);
            }
            thread::sleep(INTERVAL);
        }
    }
}

impl FileElection {
    /// Keeps the file changing on a thread of its own.
    fn lead(&self, path: PathBuf) -> Leadership {
        let (leadership, term) = Leadership::begin();
        let mut own = self.record(1);
        let beat = move || {
            while !term.has_resigned() {
                thread::sleep(INTERVAL);
                own.counter += 1;
                let prepared = prepare(&path, &own);
                // Looked at right before the file is replaced: a process that has stood still for
                // long would otherwise put its successor's away, and both would step down.
                match read(&path) {
                    Ok(Some(record)) if record.nonce != own.nonce => {
                        term.lose();
                        return;
                    }
                    _ => {}
                }
                // The file is only what makes a takeover quick; the pointer is what counts.
                let written = prepared.and_then(|beside| fs::rename(beside, &path));
                if let Err(error) = written {
                    tracing::warn!(%error, path = %path.display(), "the heartbeat was not written");
                }
            }
        };
        if let Err(error) = thread::Builder::new()
            .name("election".to_owned())
            .spawn(beat)
        {
            tracing::warn!(%error, "no heartbeat: another candidate may take the job over");
        }
        leadership
    }
}

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    nonce: u64,
    counter: u64,
    pid: u32,
    /// Tells apart two processes with one number.
    life: String,
    holder: String,
}

impl Record {
    fn to_text(&self) -> String {
        let Self {
            nonce,
            counter,
            pid,
            life,
            holder,
        } = self;
        format!("{nonce}\n{counter}\n{pid}\n{life}\n{holder}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        Some(Self {
            nonce: lines.next()?.parse().ok()?,
            counter: lines.next()?.parse().ok()?,
            pid: lines.next()?.parse().ok()?,
            life: lines.next()?.to_owned(),
            holder: lines.next()?.to_owned(),
        })
    }
}

/// Judges whether there is a leader, by what changes.
#[derive(Debug, Default)]
struct Judge {
    seen: Option<(Record, Timestamp)>,
}

impl Judge {
    /// Whether nobody leads, as far as this candidate can tell.
    fn is_free(&mut self, record: Option<&Record>, now: Timestamp) -> bool {
        let Some(record) = record else {
            return true;
        };
        if has_ended(record) {
            return true;
        }
        match &self.seen {
            Some((seen, since)) if seen == record => now.since(*since) >= TIMEOUT,
            _ => {
                self.seen = Some((record.clone(), now));
                false
            }
        }
    }
}

/// Whether the record's process ran on this machine and has ended.
fn has_ended(record: &Record) -> bool {
    let Some((boot, _)) = record.life.split_once(' ') else {
        return false;
    };
    boot_id().as_deref() == Some(boot)
        && process_life(record.pid).is_none_or(|life| life != record.life)
}

fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", id.trim(), space.display()))
}

/// The machine's boot and the process's start, if it lives.
fn process_life(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the start is the 20th field after it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (state != "Z" && state != "X").then(|| Some(format!("{} {start}", boot_id()?)))?
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Record::parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the file as a whole.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    fs::rename(prepare(path, record)?, path)
}

/// Writes what is to replace the file beside it.
fn prepare(path: &Path, record: &Record) -> io::Result<PathBuf> {
    let beside = path.with_extension(format!("{:x}", record.nonce));
    let mut file = fs::File::create(&beside)?;
    file.write_all(record.to_text().as_bytes())?;
    Ok(beside)
}

#[cfg(test)]
mod tests {

    use super::*;

    fn record(counter: u64) -> Record {
        Record {
            nonce: 7,
            counter,
            pid: 1,
            life: String::new(),
            holder: "other".to_owned(),
        }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp(ms * 1_000_000)
    }

    #[test]
    fn a_leader_counts_as_gone_only_after_the_time_out_without_a_change() {
        let mut judge = Judge::default();
        assert!(!judge.is_free(Some(&record(1)), at(0)));
        assert!(!judge.is_free(Some(&record(1)), at(2_900)));
        assert!(!judge.is_free(Some(&record(2)), at(3_100)), "it lives");
        assert!(!judge.is_free(Some(&record(2)), at(6_000)));
        assert!(judge.is_free(Some(&record(2)), at(6_100)));
        assert!(judge.is_free(None, at(6_100)));
    }

    #[test]
    fn a_process_of_this_machine_that_has_ended_does_not_lead() {
        let mut child = std::process::Command::new("true")
            .spawn()
            .expect("`true` is there");
        let life = process_life(child.id());
        child.wait().expect("it ends");
        let gone = Record {
            pid: child.id(),
            life: life.unwrap_or_else(|| format!("{} 1", boot_id().expect("a boot id"))),
            ..record(1)
        };
        assert!(has_ended(&gone));
        let own = std::process::id();
        let alive = Record {
            pid: own,
            life: process_life(own).expect("this process lives"),
            ..record(1)
        };
        assert!(!has_ended(&alive));
        assert!(
            !has_ended(&record(1)),
            "a process elsewhere is judged by its heartbeat"
        );
    }

    #[test]
    fn one_of_two_candidates_wins_and_the_other_follows_when_it_resigns() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock: Arc<dyn Clock> = Arc::new(weir_types::SystemClock);
        let candidate = |nonce| FileElection::new(folder.path(), "x", nonce, Arc::clone(&clock));
        let first = candidate(1).campaign(&mut |_| true).expect("an election");
        let first = first.expect("nobody else is there");
        let mut looks = 0;
        let second = candidate(2).campaign(&mut |_| {
            looks += 1;
            looks < 3
        });
        assert!(
            second.expect("an election").is_none(),
            "the first one lives"
        );
        assert!(!first.is_lost());
        drop(first);
        let third = candidate(3).campaign(&mut |_| true).expect("an election");
        assert!(third.is_some());
    }
}
