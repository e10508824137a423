//! The machine: QEMU as a child. Its first serial port is the child's standard input and output, the firmware's console
//! its standard error.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::error::FirmwareError;
use super::options::Options;

/// A running emulator. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Emulator {
    child: Child,
    serial: ChildStdin,
    happenings: Receiver<Happening>,
}

/// What the machine did.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Bytes came out of the serial port.
    Serial(Vec<u8>),
    /// A line on the console.
    Said(String),
}

impl Emulator {
    /// Starts the firmware. `seed` is for its random numbers.
    ///
    /// # Errors
    /// [`FirmwareError`] when there is no firmware, no emulator, or it does not start.
    pub(crate) fn start(options: &Options, seed: u64) -> Result<Self, FirmwareError> {
        if !options.firmware.is_file() {
            return Err(FirmwareError::NoFirmware { path: options.firmware.clone() });
        }
        let mut child = Command::new(&options.qemu)
            .args(["-machine", "lm3s6965evb", "-display", "none", "-monitor", "none", "-serial", "stdio"])
            .arg("-semihosting-config")
            .arg(format!("enable=on,target=native,arg={seed:016x}"))
            .arg("-kernel")
            .arg(&options.firmware)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => FirmwareError::NoQemu { program: options.qemu.clone() },
                _ => FirmwareError::Qemu { program: options.qemu.clone(), source },
            })?;
        let serial = child.stdin.take().expect("it was asked for");
        let mut output = child.stdout.take().expect("it was asked for");
        let console = child.stderr.take().expect("it was asked for");
        let (sender, happenings) = mpsc::channel();
        let listener = sender.clone();
        thread::spawn(move || read_serial(&mut output, &sender));
        thread::spawn(move || {
            for line in BufReader::new(console).lines().map_while(Result::ok) {
                if listener.send(Happening::Said(line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, serial, happenings })
    }

    /// Puts bytes into the serial port. A machine that has ended does not take them, which is told by
    /// [`next`](Self::next).
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.serial.write_all(bytes).and_then(|()| self.serial.flush()).ok();
    }

    /// What happens next, or nothing within `timeout`; an error once the machine has ended and all was told.
    pub(crate) fn next(&mut self, timeout: Duration) -> Result<Option<Happening>, ExitStatus> {
        match self.happenings.recv_timeout(timeout) {
            Ok(happening) => Ok(Some(happening)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => match self.child.wait() {
                Ok(status) => Err(status),
                Err(_) => Ok(None),
            },
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_serial(output: &mut impl Read, sender: &Sender<Happening>) {
    let mut buffer = [0; 1024];
    while let Ok(len @ 1..) = output.read(&mut buffer) {
        if sender.send(Happening::Serial(buffer[..len].to_vec())).is_err() {
            return;
        }
    }
}

/// A point in time that something must not pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    pub(crate) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}
