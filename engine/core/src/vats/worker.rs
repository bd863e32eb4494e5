//! What the worker of a vat is doing.
//!
//! ```text
//!   Asleep ──wanted──► Queued ──slot──► Starting ──ready──► Running
//!      ▲                                    │                  │
//!      ├──────────────── death ─────────────┴──────────────────┤
//!      └──── death ──── Ending ◄──── told to end ──────────────┘        any ──► Broken
//! ```

/// What the worker of a vat is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    /// There is none, and none was asked for.
    Asleep,
    /// There is none; the vat stands among those that wait for a slot.
    Queued,
    /// Started; its heap is not mapped yet.
    Starting(Life),
    /// It said that its heap is mapped.
    Running(Life),
    /// Told to end; nothing it still sends counts.
    Ending { life: Life, why: Ending },
    /// Not started any more in this life of the host.
    Broken(String),
}

/// Why the host ends a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Sleep,
    Terminate,
    /// It broke the rules of a hand-over: its message counts as having killed it.
    Lied(String),
    /// The disk had no space for what it handed over; its messages are answered.
    NoSpace,
}

/// A worker that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    generation: u64,
    /// Pages its heap may grow to.
    pages: u32,
    since_ms: i64,
    idle_since_ms: i64,
    stance: Stance,
}

/// How long a worker is to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stance {
    /// Until something else is decided.
    Stays,
    /// Idle for long enough to be put to sleep, unless something came meanwhile.
    IdleTooLong,
    /// Until nothing is out: others wait for its slot, or the vat's limits changed. It gets no
    /// further turns.
    Yields,
}

impl Worker {
    /// The life that counts, if there is one.
    pub fn life(&self) -> Option<&Life> {
        match self {
            Worker::Starting(life) | Worker::Running(life) => Some(life),
            _ => None,
        }
    }

    fn life_mut(&mut self) -> Option<&mut Life> {
        match self {
            Worker::Starting(life) | Worker::Running(life) => Some(life),
            _ => None,
        }
    }

    /// The life of the process there is, one that was told to end included.
    pub fn process(&self) -> Option<&Life> {
        match self {
            Worker::Ending { life, .. } => Some(life),
            other => other.life(),
        }
    }

    /// Whether there is a process of this generation.
    pub fn is_process(&self, generation: u64) -> bool {
        self.process()
            .is_some_and(|life| life.generation == generation)
    }

    /// Whether this generation runs now and still counts.
    pub fn is_current(&self, generation: u64) -> bool {
        self.life()
            .is_some_and(|life| life.generation == generation)
    }

    pub fn is_running(&self) -> bool {
        matches!(self, Worker::Running(_))
    }

    pub fn is_broken(&self) -> bool {
        matches!(self, Worker::Broken(_))
    }

    /// The vat joins those that wait for a slot. False where it stands there already.
    pub fn queue(&mut self) -> bool {
        let joins = matches!(self, Worker::Asleep);
        if joins {
            *self = Worker::Queued;
        }
        joins
    }

    /// The vat's turn for a slot has come. False where it does not wait for one.
    pub fn leave_queue(&mut self) -> bool {
        let waited = matches!(self, Worker::Queued);
        if waited {
            *self = Worker::Asleep;
        }
        waited
    }

    /// A worker was started.
    pub(super) fn start(&mut self, generation: u64, pages: u32, now_ms: i64) {
        assert_eq!(*self, Worker::Asleep, "a vat has one worker at a time");
        *self = Worker::Starting(Life {
            generation,
            pages,
            since_ms: now_ms,
            idle_since_ms: now_ms,
            stance: Stance::Stays,
        });
    }

    /// It said that it is ready.
    pub fn ready(&mut self) {
        if let Worker::Starting(life) = self {
            *self = Worker::Running(life.clone());
        }
    }

    /// It is told to end: its generation.
    pub fn end(&mut self, why: Ending) -> u64 {
        let life = self
            .life()
            .expect("only a worker that counts is ended")
            .clone();
        let generation = life.generation;
        *self = Worker::Ending { life, why };
        generation
    }

    /// Its process is gone.
    pub fn gone(&mut self) {
        debug_assert!(self.process().is_some(), "there was a process");
        *self = Worker::Asleep;
    }

    /// No worker of the vat is started any more.
    pub fn fail(&mut self, why: String) {
        *self = Worker::Broken(why);
    }

    /// It gets no further turns and ends as soon as nothing is out.
    pub fn ask_to_yield(&mut self) {
        if let Some(life) = self.life_mut() {
            life.stance = Stance::Yields;
        }
    }

    /// It has been idle for long enough. It stays if something comes before that is looked at.
    pub fn note_idle_too_long(&mut self) {
        if let Some(life) = self.life_mut()
            && life.stance == Stance::Stays
        {
            life.stance = Stance::IdleTooLong;
        }
    }

    /// Whether it has been found idle for too long, which is asked once.
    pub fn take_idle_too_long(&mut self) -> bool {
        match self.life_mut() {
            Some(life) if life.stance == Stance::IdleTooLong => {
                life.stance = Stance::Stays;
                true
            }
            _ => false,
        }
    }

    /// It was sent something.
    pub fn note_busy(&mut self, now_ms: i64) {
        if let Some(life) = self.life_mut() {
            life.idle_since_ms = now_ms;
        }
    }
}

impl Life {
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn pages(&self) -> u32 {
        self.pages
    }

    pub fn since_ms(&self) -> i64 {
        self.since_ms
    }

    pub fn idle_since_ms(&self) -> i64 {
        self.idle_since_ms
    }

    pub fn yields(&self) -> bool {
        self.stance == Stance::Yields
    }
}
