//! The stock image: the `weir` binary with the programs that ship.

use std::process::ExitCode;

use weir::ProgramEntry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let programs: Vec<ProgramEntry> = weir_programs::all()
        .into_iter()
        .map(|entry| ProgramEntry {
            name: entry.name,
            summary: entry.summary,
            build: entry.build,
        })
        .collect();
    weir::main(&programs)
}
