//! What a relay does to requests.

use std::time::Duration;

use super::Seen;

/// How often a fault strikes that does not end.
const ALWAYS: usize = usize::MAX;

#[derive(Debug, Clone)]
pub(super) enum Harm {
    Answer(u16, String),
    Reset(u64),
    Stall(Duration),
}

/// What goes wrong, and with which requests.
#[derive(Debug, Clone)]
pub struct Fault {
    harm: Harm,
    /// Empty for all.
    methods: &'static [&'static str],
    contains: String,
    parts: bool,
    skip: usize,
    times: usize,
}

impl Fault {
    fn new(harm: Harm) -> Self {
        Self { harm, methods: &[], contains: String::new(), parts: false, skip: 0, times: ALWAYS }
    }

    /// The store is not asked: this is what it says.
    pub fn answer(status: u16, body: &str) -> Self {
        Self::new(Harm::Answer(status, body.to_owned()))
    }

    /// The connection breaks after so many bytes of the body.
    pub fn reset(after: u64) -> Self {
        Self::new(Harm::Reset(after))
    }

    /// The store gets the request so much later.
    pub fn stall(time: Duration) -> Self {
        Self::new(Harm::Stall(time))
    }

    pub fn on(mut self, methods: &'static [&'static str]) -> Self {
        self.methods = methods;
        self
    }

    /// Only where path or query hold this.
    pub fn at(mut self, contains: &str) -> Self {
        contains.clone_into(&mut self.contains);
        self
    }

    /// See [`Seen::is_part`].
    pub fn on_parts(mut self) -> Self {
        self.parts = true;
        self
    }

    /// So many requests go well before.
    pub fn skip(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    pub fn concerns(&self, seen: &Seen) -> bool {
        let method = self.methods.is_empty() || self.methods.contains(&seen.method.as_str());
        method && seen.target.contains(&self.contains) && (!self.parts || seen.is_part())
    }

    pub(super) fn strike(&mut self, seen: &Seen) -> Option<Harm> {
        if self.times == 0 || !self.concerns(seen) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.harm.clone())
    }
}
