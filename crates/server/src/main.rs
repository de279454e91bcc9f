//! The program: an allocator, a runtime, and the command line.

use std::io::Write as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(vouchsafe::cli::run(std::env::args_os())),
        Err(error) => {
            // Without standard error there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: the runtime does not start: {error}");
            ExitCode::FAILURE
        }
    }
}
