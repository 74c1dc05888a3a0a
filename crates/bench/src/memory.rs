//! What the kernel knows of a process's memory.

use anyhow::Context;

/// Stands for the id of the process that asks.
pub(crate) const THIS_PROCESS: &str = "self";

/// `VmHWM`: the largest resident memory this process ever had.
pub(crate) fn peak_mebibytes(process: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: f64 = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .with_context(|| format!("{path} has no VmHWM"))?
        .trim()
        .parse()?;
    Ok(kibibytes / 1024.0)
}
