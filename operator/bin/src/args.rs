//! The command line. Each option can be given by the environment too, as the chart does.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use weir_crd::ManifestDuration;

#[derive(Debug, Parser)]
#[command(
    name = "weir-operator",
    version,
    about = "Runs StreamJobs on Kubernetes"
)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Examples:\n  weir-operator                    run, with what the environment says\n  weir-operator crd | kubectl apply --server-side -f -"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look after StreamJobs until told to end (the default)
    Run(Box<RunArgs>),
    /// Wait until a condition of a StreamJob holds
    Wait(WaitArgs),
    /// Print the definition of the StreamJob resource
    Crd,
    /// Print the version
    Version,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The namespaces to look after, separated by commas [default: all]
    #[arg(long, env = "WEIR_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// The image of jobs that name none
    #[arg(long, env = "WEIR_JOB_IMAGE")]
    #[arg(default_value = concat!("localhost/weir:", env!("CARGO_PKG_VERSION")))]
    pub job_image: String,

    /// The Lease by which operators elect the one that acts
    #[arg(long, env = "WEIR_LEASE_NAME", default_value = "weir-operator")]
    pub lease_name: String,

    /// The Lease's namespace
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub lease_namespace: String,

    /// This process's name
    #[arg(long, env = "POD_NAME", default_value = "weir-operator")]
    pub name: String,

    /// How long an acting operator may be silent before another one takes over
    #[arg(long, env = "WEIR_LEASE_DURATION", default_value = "15s")]
    pub lease_duration: ManifestDuration,

    /// How long the acting operator goes on without renewing; less than the duration
    #[arg(long, env = "WEIR_RENEW_DEADLINE", default_value = "10s")]
    pub renew_deadline: ManifestDuration,

    /// How often it renews; less than the deadline
    #[arg(long, env = "WEIR_RETRY_PERIOD", default_value = "2s")]
    pub retry_period: ManifestDuration,

    /// For how many jobs the API server is asked at once
    #[arg(long, env = "WEIR_WORKERS", default_value_t = 16)]
    pub workers: u16,

    /// Where JobManagers answer; for tests
    #[arg(long, env = "WEIR_REST_PORT", hide = true, default_value_t = weir_controller::build::port::REST)]
    pub rest_port: u16,

    /// Where metrics are served
    #[arg(long, env = "WEIR_METRICS_ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_address: SocketAddr,

    /// Where health and readiness are served
    #[arg(long, env = "WEIR_HEALTH_ADDRESS", default_value = "0.0.0.0:8081")]
    pub health_address: SocketAddr,

    /// What is logged, for example `info` or `weir_operator=debug`
    #[arg(long, env = "WEIR_LOG", default_value = "info")]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "WEIR_LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

#[derive(Args, Clone, Debug)]
pub struct WaitArgs {
    /// The StreamJob
    pub name: String,

    /// The condition
    #[arg(long = "for", value_name = "CONDITION", default_value = "Ready")]
    pub condition: String,

    /// The StreamJob's namespace
    #[arg(long, default_value = "default")]
    pub namespace: String,

    /// How long to wait
    #[arg(long, default_value = "60s")]
    pub timeout: ManifestDuration,
}

impl RunArgs {
    /// The namespaces; none: all. An empty variable in the environment is none.
    pub(crate) fn namespaces(&self) -> Vec<&str> {
        let named = self.watch_namespaces.iter().map(|name| name.trim());
        named.filter(|name| !name.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_words_of_the_charts_test_are_understood() {
        let line = "weir-operator wait --for=Ready --timeout=120s --namespace=weir-system job";
        let cli = Cli::parse_from(line.split_whitespace());
        let Some(Command::Wait(wait)) = cli.command else {
            unreachable!("`wait` was given");
        };
        let words = [wait.condition, wait.namespace, wait.name];
        assert_eq!(words, ["Ready", "weir-system", "job"]);
        assert_eq!(wait.timeout, ManifestDuration::from_secs(120));
    }

    #[test]
    fn running_is_the_default_and_no_namespace_means_all() {
        let cli = Cli::parse_from(["weir-operator", "--watch-namespaces", "", "--workers", "2"]);
        assert!(cli.command.is_none());
        assert_eq!(cli.run.namespaces(), Vec::<&str>::new());
        let cli = Cli::parse_from(["weir-operator", "run", "--watch-namespaces", "a, b"]);
        let Some(Command::Run(run)) = cli.command else {
            unreachable!("`run` was given");
        };
        assert_eq!(run.namespaces(), ["a", "b"]);
    }
}
