//! What the kernel says of processes, and our own program as other processes.

use std::{fs, path::Path, time::Duration};

use mesh_lab::Program;

use crate::Failure;

/// Linux counts in hundredths of a second towards programs, on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// Processor time so far, user and system.
pub(crate) fn cpu(process: u32) -> Result<Duration, Failure> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the name, in parentheses, and may hold anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let ticks = |place: usize| -> Result<u32, Failure> {
        let field = fields.split(' ').nth(place);
        Ok(field
            .ok_or("reading processor time: no such field")?
            .parse()?)
    };
    Ok(TICK * (ticks(11)? + ticks(12)?))
}

/// The same of several, summed.
pub(crate) fn cpu_of(processes: &[u32]) -> Result<Duration, Failure> {
    processes.iter().map(|&process| cpu(process)).sum()
}

/// Memory that is in RAM, in bytes.
pub(crate) fn resident(process: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.ok_or("reading memory: there is no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

/// This program once more, in another role.
pub(crate) fn child<'a>(
    arguments: impl IntoIterator<Item = &'a str>,
    variables: Vec<(&'static str, String)>,
) -> Result<Program, Failure> {
    let arguments = ["child"].into_iter().chain(arguments);
    Ok(Program::start(
        std::env::current_exe()?,
        arguments,
        variables,
    )?)
}

/// Where a server among the children says that it listens.
pub(crate) async fn listening(program: &Program) -> Result<String, Failure> {
    Ok(program.says("listening ").await?)
}

pub(crate) fn shown(path: &Path) -> &str {
    // Made by us below the directory for temporary files.
    path.to_str().unwrap_or_default()
}
