//! The parts of the plugin's help that say more than each option's line.

pub(super) const ABOUT: &str = "\
Looks after StreamJobs in a Kubernetes cluster: how they are doing, savepoints, stopping and
starting, logs.

It asks the cluster through kubectl, with kubectl's contexts and rights. What it asks for is written
to the StreamJob, as a person would with `kubectl edit`; the operator does it.";

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl weir status                        all jobs of the namespace
  kubectl weir status quickstart             one job: what is wrong, what is being done
  kubectl weir savepoint quickstart          prints the savepoint's folder
  kubectl weir suspend quickstart -n shop

Exit codes:
  0    done
  1    it failed, was refused, or was not done in time: the text says which, and what to do
  2    the command line is wrong; nothing was asked for
  130  Ctrl-C: what was asked for goes on";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  kubectl weir status                        all jobs of the namespace, one a line
  kubectl weir status -A                     of all namespaces
  kubectl weir status quickstart             a page for whoever is on call
  kubectl weir status quickstart -o json     the same for programs";

pub(super) const SAVEPOINT_EXAMPLES: &str = "\
Examples:
  kubectl weir savepoint quickstart
  path=$(kubectl weir savepoint quickstart --timeout 2m)
  kubectl weir savepoint quickstart --nonce before-upgrade

The savepoint's folder is the only line on stdout. Asked again with the same --nonce, it tells the
same savepoint. It is the same as `kubectl annotate sj/quickstart weir.dev/savepoint-nonce=TEXT`.";

pub(super) const SUSPEND_EXAMPLES: &str = "\
Examples:
  kubectl weir suspend quickstart
  kubectl weir resume quickstart             goes on exactly where it stopped

It sets spec.suspend to true. A manifest that says otherwise, applied later, resumes the job.";

pub(super) const RESUME_EXAMPLES: &str = "\
Example:
  kubectl weir resume quickstart --timeout 2m

It sets spec.suspend to false and waits until the job runs with all its subtasks.";

pub(super) const RESTART_EXAMPLES: &str = "\
Examples:
  kubectl weir restart quickstart            new pods, the same state
  kubectl weir restart quickstart --wait=false

It raises spec.restartNonce. A job that has finished or failed is started again by it, too, from its
newest checkpoint or savepoint.";

pub(super) const ROLLBACK_EXAMPLES: &str = "\
Examples:
  kubectl weir rollback quickstart
  kubectl weir rollback quickstart --to 3f2a91c07d

The spec that is applied stays as it is and is not tried again until it is edited.";

pub(super) const SNAPSHOTS_EXAMPLES: &str = "\
Examples:
  kubectl weir snapshots quickstart
  kubectl weir snapshots quickstart -o json

Savepoints are those that the StreamJob's status remembers; checkpoints are asked of the JobManager,
as long as the job runs. `weir checkpoints ls --dir s3://BUCKET/PREFIX` lists what a bucket holds.";

pub(super) const LOGS_EXAMPLES: &str = "\
Examples:
  kubectl weir logs quickstart               the JobManager that leads
  kubectl weir logs quickstart -f --tail 20
  kubectl weir logs quickstart -t            all TaskManagers
  kubectl weir logs quickstart --all --since 10m";

pub(super) const UI_EXAMPLES: &str = "\
Examples:
  kubectl weir ui quickstart
  kubectl weir ui quickstart --port 9000
  weir info --rest 127.0.0.1:9000            meanwhile, elsewhere

It goes on until Ctrl-C, and finds the next JobManager when the one that leads is gone.";

pub(super) const FORCE_DELETE_EXAMPLES: &str = "\
Example:
  kubectl weir force-delete quickstart

For a job whose deletion waits for a savepoint (spec.onDelete.savepoint) that cannot be had. The
checkpoints stay where they are: the same manifest, applied again, goes on from the newest one.";
