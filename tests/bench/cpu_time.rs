//! Processor time, by `/proc/PID/stat` (proc(5), `utime` and following), in ticks of usually 10 ms.

use std::fs;
use std::time::Duration;

/// User and system time of all processes that were waited for.
pub fn of_children() -> Duration {
    sum("self", 15)
}

/// User and system time of a process with all its threads.
pub fn of_process(pid: u32) -> Duration {
    sum(&pid.to_string(), 13)
}

/// The sum of a field, as proc(5) counts from 0, and the one behind it. Zero if there is no process.
fn sum(process: &str, field: usize) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name before it may hold anything. The field behind it is the one with number 2.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    let ticks: u64 = fields.skip(field - 2).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
