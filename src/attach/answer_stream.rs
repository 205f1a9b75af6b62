//! An answer of the JVM that is read while it comes, and is never held as a whole: the stacks of 50,000 threads are
//! hundreds of megabytes.

use std::time::Duration;

use super::{AttachError, AttachOperation, Pending, Reply, VirtualMachine};
use crate::base::deadline::Deadline;

/// Longest first line of an answer, which has the status, in bytes. Statuses have three digits at most.
const STATUS_MAX: usize = 16;

/// Bytes that one call reads. A socket of this kind holds about 200 KiB.
const PIECE: usize = 64 << 10;

/// An answer, behind its first line.
#[derive(Debug)]
pub struct AnswerStream<'a> {
    pending: Pending<'a>,
    pub completion_status: i32,
    /// Bytes that came together with the status.
    ahead: Vec<u8>,
}

impl<'a> VirtualMachine<'a> {
    /// Sends an operation, and waits for the first line of its answer.
    ///
    /// # Errors
    /// As [`VirtualMachine::execute`].
    pub fn stream(
        &self,
        operation: &AttachOperation<'_>,
        deadline: &Deadline,
    ) -> Result<AnswerStream<'a>, AttachError> {
        let mut pending = self.send(operation, |_| (), deadline)?;
        let mut piece = vec![0; PIECE];
        let line_end = loop {
            if let Some(end) = pending.answer.iter().position(|byte| *byte == b'\n') {
                break end + 1;
            }
            match pending.read_piece(&mut piece, Duration::from_secs(1), deadline)? {
                Some(n) if n > 0 && pending.answer.len() < STATUS_MAX => pending.answer.extend_from_slice(&piece[..n]),
                Some(_) => break pending.answer.len(),
                None => {}
            }
        };
        let ahead = pending.answer.split_off(line_end);
        let Some(Reply { completion_status, .. }) = Reply::parse(&pending.answer) else {
            let (pid, operation, ours) = (pending.jvm.pid(), pending.operation.clone(), pending.identity);
            return Err(AttachError::Refused { pid, operation, ours }.unless_gone(pending.jvm));
        };
        Ok(AnswerStream { pending, completion_status, ahead })
    }
}

impl AnswerStream<'_> {
    /// Adds the next bytes to `page`, at most `room`. Returns false at the end of the answer.
    ///
    /// # Errors
    /// When the JVM ends before its answer does, the connection breaks, or the run is stopped.
    pub fn read(&mut self, page: &mut Vec<u8>, room: usize, deadline: &Deadline) -> Result<bool, AttachError> {
        if !self.ahead.is_empty() {
            let rest = self.ahead.split_off(room.min(self.ahead.len()));
            page.extend_from_slice(&std::mem::replace(&mut self.ahead, rest));
            return Ok(true);
        }
        let begun = page.len();
        page.resize(begun + room.min(PIECE), 0);
        let n = self.pending.read_piece(&mut page[begun..], Duration::from_secs(1), deadline);
        page.truncate(begun + n.as_ref().map_or(0, |n| n.unwrap_or(0)));
        match n? {
            // The answer of a JVM that was killed may be incomplete: JDK 24 and later send it line by line.
            Some(0) if self.pending.jvm.target.is_alive() => Ok(false),
            Some(0) => Err(AttachError::Gone { pid: self.pending.jvm.pid() }),
            _ => Ok(true),
        }
    }
}
