//! How a TaskManager is taken in.

use std::time::Duration;

use weir_graph::{Fingerprint, PartHash};
use weir_types::{Epoch, JobId, TaskManagerId};

use super::common::{address_from_wire, id_from_wire, id_to_wire};
use super::{WireError, pb, required};
use crate::{CheckpointSettings, JobInfo, ProgramSpec, Registration};

pub(crate) fn registration_to_wire(registration: &Registration) -> pb::Register {
    pb::Register {
        protocol: registration.protocol,
        version: registration.version.clone(),
        id: id_to_wire(registration.id.0),
        name: registration.name.clone(),
        deployment: registration.deployment,
        slots: registration.slots,
        data_address: registration.data_address.map(|address| address.to_string()),
    }
}

pub(crate) fn registration_from_wire(register: pb::Register) -> Result<Registration, WireError> {
    Ok(Registration {
        protocol: register.protocol,
        version: register.version,
        id: TaskManagerId(id_from_wire("register.id", &register.id)?),
        name: register.name,
        deployment: register.deployment,
        slots: register.slots,
        data_address: register
            .data_address
            .map(|text| address_from_wire("register.data_address", &text))
            .transpose()?,
    })
}

pub(crate) fn info_to_wire(job: &JobInfo) -> pb::Registered {
    pb::Registered {
        job: id_to_wire(job.id.0),
        job_name: job.name.clone(),
        program: job.program.program.clone(),
        args: job.program.args.clone().into_iter().collect(),
        config: job.program.config.clone().into_iter().collect(),
        environment: job.program.environment.clone().into_iter().collect(),
        fingerprint: Some(fingerprint_to_wire(&job.fingerprint)),
        heartbeat_interval_ms: millis(job.heartbeat_interval),
        heartbeat_timeout_ms: millis(job.heartbeat_timeout),
        checkpoints: job.checkpoints.as_ref().map(|settings| {
            let CheckpointSettings {
                folder,
                store,
                exactly_once,
                incremental,
                compress,
                local_recovery,
            } = settings.clone();
            pb::CheckpointSettings {
                folder,
                store: store.into_iter().collect(),
                exactly_once,
                incremental,
                compress,
                local_recovery,
            }
        }),
    }
}

pub(crate) fn info_from_wire(epoch: u64, registered: pb::Registered) -> Result<JobInfo, WireError> {
    Ok(JobInfo {
        epoch: Epoch(epoch),
        id: JobId(id_from_wire("registered.job", &registered.job)?),
        name: registered.job_name,
        program: ProgramSpec {
            program: registered.program,
            args: registered.args.into_iter().collect(),
            config: registered.config.into_iter().collect(),
            environment: registered.environment.into_iter().collect(),
        },
        fingerprint: fingerprint_from_wire(registered.fingerprint)?,
        heartbeat_interval: Duration::from_millis(registered.heartbeat_interval_ms),
        heartbeat_timeout: Duration::from_millis(registered.heartbeat_timeout_ms),
        checkpoints: registered.checkpoints.map(|settings| CheckpointSettings {
            folder: settings.folder,
            store: settings.store.into_iter().collect(),
            exactly_once: settings.exactly_once,
            incremental: settings.incremental,
            compress: settings.compress,
            local_recovery: settings.local_recovery,
        }),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn fingerprint_to_wire(fingerprint: &Fingerprint) -> pb::Fingerprint {
    let Fingerprint {
        graph,
        args,
        config,
        executable,
    } = fingerprint;
    pb::Fingerprint {
        graph: id_to_wire(graph.0),
        args: id_to_wire(args.0),
        config: id_to_wire(config.0),
        executable: id_to_wire(executable.0),
    }
}

pub(super) fn fingerprint_from_wire(
    fingerprint: Option<pb::Fingerprint>,
) -> Result<Fingerprint, WireError> {
    let fingerprint = required("fingerprint", fingerprint)?;
    Ok(Fingerprint {
        graph: PartHash(id_from_wire("fingerprint.graph", &fingerprint.graph)?),
        args: PartHash(id_from_wire("fingerprint.args", &fingerprint.args)?),
        config: PartHash(id_from_wire("fingerprint.config", &fingerprint.config)?),
        executable: PartHash(id_from_wire(
            "fingerprint.executable",
            &fingerprint.executable,
        )?),
    })
}
