//! The parts of the help that say more than each option's line.

pub(super) const ABOUT: &str = "\
Runs stream jobs: dataflow programs with state, on one machine or on many.

A job is a StreamJob manifest, the file that `kubectl apply` takes. It names a registered program \
and its arguments.";

pub(super) const EXAMPLES: &str = "\
Examples:
  weir programs                                         what can be run
  weir explain examples/wordcount.yaml                  what it consists of
  weir run examples/wordcount.yaml --arg input=book.txt --arg output=counts

  The same on two worker processes:
  weir jobmanager examples/wordcount.yaml --parallelism 2 &
  weir taskmanager --jobmanager 127.0.0.1:6123 &
  weir taskmanager --jobmanager 127.0.0.1:6123 &
  weir info                                             how it is doing
  weir stop                                             end it with a savepoint

Exit codes:
  0    done
  1    the job failed, or something on the machine did; `weir fsck` found damage
  2    the command line, the manifest, the program or its arguments are wrong; nothing was started
  130  cancelled, by a signal (Ctrl-C, SIGTERM) or with `weir cancel`

Environment:
  WEIR_LOG  which log lines go to stderr: `error`, `warn`, `info`, `debug`, or per part, such as
            `weir_jobmanager=debug` (default: `warn`)
  WEIR_LOG_FORMAT
            how they look: `text`, or `json` for programs (default: `text`)";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  weir run examples/wordcount.yaml --arg input=book.txt --arg output=counts
  weir run job.yaml --parallelism 4 --rest 127.0.0.1:8081
  weir run job.yaml --checkpoint-dir state --checkpoint-interval 1s --restore latest
  weir run job.yaml --checkpoint-dir state --restore state/job/savepoint-1-12 --rewind

The third one can be killed at any moment; the same command again goes on from the newest
checkpoint, and the output is as if nothing had happened. `latest` begins without state only if the
folder never held a checkpoint of this job. The last one goes back although there is newer state,
once: again, it goes on; with `--rewind=ID` and a name that is new it goes back another time.

`weir savepoint`, `weir stop` and the like ask 127.0.0.1:8081: name that with --rest, as the second
one does, or name the address that is printed to them.

While it runs, progress goes to stderr: in place on a terminal, else a line per operator every few
seconds. Ctrl-C cancels the job and waits until everything is released; a second one ends at once.";

pub(super) const JOBMANAGER_EXAMPLES: &str = "\
Examples:
  weir jobmanager examples/wordcount.yaml --parallelism 4
  weir jobmanager job.yaml --rpc 0.0.0.0:6123 --rest 0.0.0.0:8081
  weir jobmanager job.yaml --checkpoint-dir s3://bucket/weir --s3-endpoint https://s3.example.com \\
      --s3-path-style --restore latest

The same command a second time, with other ports, is a standby: it takes over when the leader is
gone.

The first line on stdout is `jobmanager rpc HOST:PORT`, the second `rest HOST:PORT`. The job starts
when the TaskManagers that have come offer enough slots. The exit code is the job's result.";

pub(super) const EXPLAIN_EXAMPLE: &str = "\
Example:
  weir explain examples/wordcount.yaml --parallelism 4 --format json";

pub(super) const TASKMANAGER_EXAMPLES: &str = "\
Examples:
  weir taskmanager --jobmanager 127.0.0.1:6123 --slots 2
  weir taskmanager --jobmanager jm.example.com:6123 --data 10.0.0.7:6121
  weir taskmanager --jobmanager jm-1.example.com:6123,jm-2.example.com:6123

It must be the same program as the JobManager's. It exits with 0 when the JobManager says that the
job has ended, however it ended, and with 1 when no JobManager was within reach for too long
or it does not want this one.";

pub(super) const SAVEPOINT_EXAMPLES: &str = "\
Examples:
  weir savepoint                              of the one job there is
  weir savepoint --operation before-upgrade   again under this name: the same savepoint
  weir savepoint delete 12                    one that nobody needs any more

It waits until the savepoint is complete and writes its folder to stdout, as the only line. The job
goes on. A savepoint is complete in itself: its folder can be copied elsewhere, and nothing but a
person deletes it.";

pub(super) const DELETE_EXAMPLES: &str = "\
Examples:
  weir savepoint delete 12                    by its number
  weir savepoint delete before-upgrade        by the name that it was asked for under
  weir savepoint delete s3://bucket/weir/words/savepoint-1-12

The JobManager that leads does it, so that nothing that the job needs goes: it refuses the newest
savepoint, and one that an open operation needs. It waits until the job keeps the savepoint no more;
its objects follow within seconds. What is left of a job that no JobManager leads is found with
`weir gc`.";

pub(super) const STOP_EXAMPLES: &str = "\
Examples:
  weir stop                                   the one job there is
  weir stop --drain                           for good: all windows fire first
  weir stop --operation upgrade-7             asked again, it tells the same savepoint
  weir run new.yaml --checkpoint-dir state --restore \"$(weir stop)\" --rest 127.0.0.1:8081

It waits until the job has stopped and its results are committed, and writes the savepoint's folder
to stdout, as the only line. What was not in the savepoint was not processed: a job that is restored
from it continues exactly there. After --drain there is nothing to continue.";

pub(super) const CANCEL_EXAMPLES: &str = "\
Examples:
  weir cancel                                 the one job there is
  weir cancel --savepoint                     with a savepoint first

A cancelled job commits nothing more: what it wrote since its last checkpoint is thrown away. With
--savepoint the job goes on until it is cancelled, and that rest would come again after a restore;
`weir stop` leaves no such rest.";

pub(super) const LS_EXAMPLES: &str = "\
Examples:
  weir checkpoints ls                         of the one running job
  weir checkpoints ls --dir state             what a folder holds, with no job running
  weir checkpoints ls --dir s3://bucket/weir --s3-endpoint https://s3.example.com --s3-path-style";

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  weir checkpoints inspect 12                 how it went, by subtask: asks the JobManager
  weir checkpoints inspect 12 --dir state     what is in it: reads the folder
  weir checkpoints inspect state/job/savepoint-1-12";

pub(super) const CLEAR_EXAMPLES: &str = "\
Examples:
  weir checkpoints clear state/job            of a job that was stopped, has finished or failed
  weir checkpoints clear s3://bucket/weir --job default/quickstart

The job can't be resumed after it. Its savepoints stay; one of them can be named with `--restore`.
The pointer stays too, so that a job of the same name never takes the same numbers again.";

pub(super) const FSCK_EXAMPLES: &str = "\
Examples:
  weir fsck state
  weir fsck s3://bucket/weir --job wordcount --job top-pages
  weir fsck /copies/savepoint-1-12            one savepoint, wherever it is

It reads every object that the retained checkpoints and savepoints refer to, and compares size and
checksum. Nothing is changed. The exit code is 1 if something is damaged or missing.";

pub(super) const GC_EXAMPLES: &str = "\
Examples:
  weir gc state                               what could go
  weir gc state --delete                      let it go
  weir gc s3://bucket/weir --grace 6h --delete

Only objects go that no retained checkpoint or savepoint refers to and that are older than the grace
period. The job may be running or not: what a checkpoint or savepoint under way has written stays,
however long that takes.";

pub(super) const KUBECTL_EXAMPLES: &str = "\
Examples:
  weir kubectl status                         all jobs of the namespace
  weir kubectl savepoint quickstart -n shop

A link to this program that is called kubectl-weir makes it a plugin:
  ln -s \"$(command -v weir)\" ~/.local/bin/kubectl-weir
  kubectl weir status";
