//! For an init container: copies this binary to where the next container can run it, and can check the NAS first.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;

use super::config::NasConfig;
use super::report::Reporter;
use super::wait;

/// Copies to `to` by way of a temporary file beside it: another process never sees half a binary.
pub fn run(config: &NasConfig, reporter: &mut Reporter, to: &Path, check: bool) -> ExitCode {
    if check {
        let result = wait::until_ok_or_final(config, reporter);
        let code = reporter.exit(&result);
        if result.failure.is_some() {
            return code;
        }
    }
    match copy(to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guard nas install: --to {}: {error}", to.display());
            ExitCode::FAILURE
        }
    }
}

fn copy(to: &Path) -> io::Result<()> {
    let name = to.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "wanted the path of a file"))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let temporary = to.with_file_name(temporary);
    let copied = (|| {
        let mut own = File::open("/proc/self/exe")?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&temporary)?;
        // Whatever the umask took away: another user may exec it.
        file.set_permissions(Permissions::from_mode(0o755))?;
        io::copy(&mut own, &mut file)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, to)
    })();
    if copied.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    copied
}
