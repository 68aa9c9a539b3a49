//! `weir-operator`: the command line, threads and logs. All else is in the library.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tracing_subscriber::EnvFilter;
use weir_operator::{Cli, Command, LogFormat, RunArgs, WaitArgs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Crd) => print(&weir_crd::custom_resource_definition_yaml()),
        Some(Command::Version) => print(concat!(env!("CARGO_PKG_VERSION"), "\n")),
        Some(Command::Wait(args)) => wait(args),
        Some(Command::Run(args)) => run(*args),
        None => run(cli.run),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With a closed stderr there is nobody to tell.
            drop(writeln!(std::io::stderr().lock(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .context("write to standard output")
}

fn run(args: RunArgs) -> anyhow::Result<()> {
    log(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start threads")?;
    let result = runtime.block_on(weir_operator::run(args));
    // Requests to JobManagers that do not answer hold nothing up.
    runtime.shutdown_background();
    result
}

fn wait(args: WaitArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a thread")?;
    let told = runtime.block_on(weir_operator::wait(args))?;
    print(&format!("{told}\n"))
}

fn log(args: &RunArgs) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&args.log)
        .with_context(|| format!("read --log: `{}` is no filter; try `info`", args.log))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match args.log_format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.init(),
    }
    Ok(())
}
