//! The worker's end of the socket: whole messages, buffered.
//!
//! Turns' chance comes through here, so what was decoded is wiped. Plain writes do: the buffers
//! live as long as the process.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::serve::{End, io};
use kenvat_wire::protocol::{
    FromWorker, TO_WORKER_BYTES_MAX, ToWorker, decode, encode, frame_length,
};

/// Bytes read from the socket at once.
const READ_BYTES: usize = 64 << 10;

/// The socket, with what was read from it and not used yet.
pub struct Link {
    socket: OwnedFd,
    input: Vec<u8>,
    /// Bytes of `input` already decoded, and wiped: chance came with them.
    taken: usize,
    /// Where each read goes: kept, as clearing it anew would cost more than a small turn.
    piece: Vec<u8>,
}

impl Link {
    pub fn new(socket: OwnedFd) -> Link {
        Link {
            socket,
            input: Vec::new(),
            taken: 0,
            piece: vec![0; READ_BYTES],
        }
    }

    /// The next message, waiting for it.
    pub fn wait(&mut self) -> Result<ToWorker, End> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(message);
            }
            self.read(RecvFlags::empty())?;
        }
    }

    /// The next message if one is there.
    pub fn poll(&mut self) -> Result<Option<ToWorker>, End> {
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(Some(message));
            }
            if !self.read(RecvFlags::DONTWAIT)? {
                return Ok(None);
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<ToWorker>, End> {
        let rest = &mut self.input[self.taken..];
        let Some(length) = frame_length(rest, TO_WORKER_BYTES_MAX)? else {
            return Ok(None);
        };
        let Some(frame) = rest.get_mut(..length) else {
            return Ok(None);
        };
        let message = decode(&frame[4..])?;
        frame.fill(0);
        self.taken += length;
        Ok(Some(message))
    }

    /// Reads once; false when nothing was there.
    fn read(&mut self, flags: RecvFlags) -> Result<bool, End> {
        match rustix::net::recv(&self.socket, &mut self.piece[..], flags) {
            Ok((0, _)) | Err(Errno::CONNRESET) => Err(End::Closed),
            Ok((read, _)) => {
                let rest = self.input.len() - self.taken;
                self.input.copy_within(self.taken.., 0);
                self.input[rest..].fill(0);
                self.input.truncate(rest);
                self.taken = 0;
                self.input.extend_from_slice(&self.piece[..read]);
                self.piece[..read].fill(0);
                Ok(true)
            }
            Err(Errno::INTR) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(errno) => Err(io("read from the host")(errno)),
        }
    }

    pub fn send(&mut self, message: &FromWorker) -> Result<(), End> {
        let mut bytes = Vec::new();
        encode(message, &mut bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = &rest[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(End::Closed),
                Err(errno) => return Err(io("write to the host")(errno)),
            }
        }
        Ok(())
    }
}
