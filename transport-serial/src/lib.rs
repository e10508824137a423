//! Reliable, ordered frames over a line that carries bytes, loses some and adds others: a serial port, a pipe, TCP.
//!
//! No authentication and no encryption: whoever has the wire is the peer. No clock, no I/O, no heap, no `unsafe`: bytes
//! and milliseconds go in, frames and bytes come out.
//!
//! ```
//! use transport_serial::{Input, Link, Timing};
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let mut device = Link::<1, 0>::initiator(Timing::default(), 0x5eed);
//! let mut gateway = Link::<4, 3>::responder(Timing::default(), 0xcafe);
//! device.begin();
//! let mut now_ms = 0;
//! let mut said = Vec::new();
//! while said.is_empty() {
//!     // What the device has to say goes to the gateway...
//!     let mut line = Vec::new();
//!     while let Some(bytes) = device.poll_line(now_ms) {
//!         line.extend_from_slice(bytes);
//!     }
//!     let mut bytes = &line[..];
//!     while let Some(input) = gateway.receive(&mut bytes) {
//!         if let Input::Frame(frame) = input {
//!             said.push(frame.to_vec());
//!         }
//!     }
//!     // ... and the other way round.
//!     let mut line = Vec::new();
//!     while let Some(bytes) = gateway.poll_line(now_ms) {
//!         line.extend_from_slice(bytes);
//!     }
//!     let mut bytes = &line[..];
//!     while let Some(input) = device.receive(&mut bytes) {
//!         if input == Input::Begun {
//!             device.send(b"setpoint?")?;
//!         }
//!     }
//!     now_ms += 1;
//! }
//! assert_eq!(said, [b"setpoint?"]);
//! # Ok(())
//! # }
//! ```
//!
//! # The loop that a driver writes
//!
//! 1. Hand the bytes that came to [`Link::receive`] until it gives nothing, and do what each [`Input`] says.
//! 2. Give frames to [`Link::send`] while [`Link::has_capacity`].
//! 3. Write what [`Link::poll_line`] gives until it gives nothing.
//! 4. Wait for bytes, for frames, or for as long as [`Link::poll_timeout`] says; then begin again.
//!
//! Time is counted in milliseconds from anywhere, in 32 bits that wrap.
//!
//! # The line
//!
//! A packet is encoded with COBS (Cheshire and Baker, "Consistent Overhead Byte Stuffing", 1999), which leaves no zero
//! byte in it, and stands between two zero bytes. So whatever came before, a receiver is in step again at the next zero,
//! and noise between two packets costs none of them.
//!
//! | offset | size | field |
//! |---:|---:|---|
//! | 0 | 3 bits (low) | kind: 1 Begin, 2 Accept, 3 Data, 4 Ack, 5 Nak, 6 End |
//! | 0 | 5 bits (high) | credit: frames that the sender of this packet takes, from `next` on |
//! | 1 | 2 | connection, little endian; 0 in a Begin, and in an End that names any |
//! | 3 | 1 | number: of the frame in a Data; the version, 1, in a Begin and an Accept; in an Ack or Nak a bit for each frame after `next` that is here, the lowest for `next + 1`; 0 in an End |
//! | 4 | 1 | next: number of the frame that the sender of this packet waits for; all before it are here |
//! | 5 | 0 to 512 | Data: the frame, not empty; Begin and Accept: 4 bytes that name the beginning, little endian |
//! | last 4 | 4 | CRC-32 (ISO-HDLC) of all before it, little endian |
//!
//! A frame costs 12 bytes more on the line, and one more for each 254 bytes; its acknowledgement 12, or nothing when it
//! rides along with a frame. An idle line is silent.
//!
//! # Connections
//!
//! The *initiator*, the small device, sends a Begin with a number that it used never before, and repeats it at growing
//! pauses until the *responder* accepts, which chooses the number of the connection. Both begin at frame 0. A Begin with
//! another number replaces the connection. Whoever gets a frame of a connection that it does not have answers with an
//! End, and a responder that has just started says End once to whoever is there: so an end that restarted is found out,
//! at the latest when the other has something to say. Numbers are random at the start, so that nothing of an earlier
//! life looks new.
//!
//! # Losses
//!
//! Frames are numbered modulo 256. The receiver acknowledges what is complete and tells what came after a gap (selective
//! repeat; Tanenbaum, "Computer Networks", section 3.4.3). A packet that is damaged is answered by one Nak, and a gap by
//! an Ack that shows it: the frame that is missing is repeated at once, and once; what is lost without a trace is
//! repeated after [`Timing::repeat_ms`], then at doubling pauses. When so many repetitions brought no answer at all, the
//! connection is over, and both ends are told. A frame is given out once and in order, or the end of its connection is.
//!
//! # Flow control
//!
//! Nobody sends more frames than the credit that the other side told last. A reader that is behind says so by
//! [`Link::set_capacity`]; frames that come nevertheless are dropped, not stored, and repeated. A sender without credit asks at
//! growing pauses whether that is still so.
//!
//! # Memory
//!
//! `Link<SEND, REORDER>` keeps `SEND` frames that are not acknowledged and `REORDER` that came early. `Link<1, 0>`, for a
//! microcontroller, has one frame under way in each direction and takes 1.7 KiB; each further frame takes about 520 bytes.

#![no_std]

#[cfg(test)]
extern crate std;

mod counters;
mod limits;
mod link;
mod packet;
mod timing;
mod window;

pub use counters::Counters;
pub use limits::{CAPACITY_UNBOUNDED, FRAME_LEN_MAX, LINE_LEN_MAX, WINDOW_MAX};
pub use link::{Input, Link, Over, SendError};
pub use timing::Timing;
