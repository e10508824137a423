//! The tasks that own the ports.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use transport_serial::{Input, Link};

use super::port::{LineOptions, Opened, Port, Wire};
use crate::engine::{LINE_FRAMES_MAX, LineIndex, LineInput};

/// All lines of an edge; they end when this is dropped.
pub(crate) struct Lines {
    commands: Vec<mpsc::UnboundedSender<LineCommand>>,
    events: mpsc::Receiver<LineEvent>,
    tasks: Vec<JoinHandle<()>>,
}

/// What happened on a line.
pub(crate) struct LineEvent {
    pub(crate) line: LineIndex,
    pub(crate) input: LineInput,
    /// Buffer for a frame; it is free again when this is dropped.
    _capacity: Option<OwnedSemaphorePermit>,
}

/// What a line is to do.
enum LineCommand {
    /// End this connection, if it is still open.
    End(u64),
    /// Send a frame on this connection, if it is still open.
    Send(u64, Vec<u8>),
}

impl Lines {
    /// Starts a task for each line. Ports that cannot be opened are tried again, and the status tells why.
    pub(crate) fn start(options: &[LineOptions], mut random: ChaCha12Rng) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut lines = Self { commands: Vec::new(), events, tasks: Vec::new() };
        for (index, options) in options.iter().enumerate() {
            // The engine sends no more frames than this before it hears that some went, and an End beside them.
            // Frames are bounded by the capacity that the engine knows of, ends by the events that it is given.
            let (commands, receiver) = mpsc::unbounded_channel();
            let task = Task {
                line: LineIndex(index),
                port: options.port.clone(),
                events: sender.clone(),
                commands: receiver,
                capacity: Arc::new(Semaphore::new(LINE_FRAMES_MAX)),
                random: ChaCha12Rng::seed_from_u64(random.next_u64()),
                started: Instant::now(),
                connection: 0,
            };
            lines.commands.push(commands);
            lines.tasks.push(tokio::spawn(task.run()));
        }
        lines
    }

    /// The next event; never, where there is no line. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> LineEvent {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// An event that waits.
    pub(crate) fn try_next(&mut self) -> Option<LineEvent> {
        self.events.try_recv().ok()
    }

    pub(crate) fn send(&self, line: LineIndex, connection: u64, frame: Vec<u8>) {
        self.command(line, LineCommand::Send(connection, frame));
    }

    pub(crate) fn end(&self, line: LineIndex, connection: u64) {
        self.command(line, LineCommand::End(connection));
    }

    fn command(&self, line: LineIndex, command: LineCommand) {
        if let Some(sender) = self.commands.get(line.0)
            && let Err(error) = sender.send(command)
        {
            // The task has stopped: then its device is gone too.
            tracing::debug!(line = line.0, %error, "a line takes nothing any more");
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Task {
    line: LineIndex,
    port: Port,
    events: mpsc::Sender<LineEvent>,
    commands: mpsc::UnboundedReceiver<LineCommand>,
    /// Frames that the engine has capacity for.
    capacity: Arc<Semaphore>,
    random: ChaCha12Rng,
    started: Instant,
    /// Connections that have begun, counted as the engine counts them: what it says about an older one comes too late.
    connection: u64,
}

/// Why a wire is not served any more.
enum Left {
    /// Nobody listens to this task any more.
    Alone,
    Failed(io::Error),
    /// Somebody else has connected.
    Replaced(Box<dyn Wire>),
}

/// The edge has stopped.
struct Stopped;

impl Task {
    async fn run(mut self) {
        while self.serve_port().await.is_ok() {
            tokio::time::sleep(REOPEN).await;
        }
    }

    /// Opens the port and serves it as long as it is there.
    async fn serve_port(&mut self) -> Result<(), Stopped> {
        let mut opened = match self.port.open().await {
            Ok(opened) => opened,
            Err(error) => return self.tell(LineInput::Failed(error.to_string())).await,
        };
        self.tell(LineInput::Listening).await?;
        let mut next = None;
        loop {
            let wire = match next.take() {
                Some(wire) => wire,
                None => match self.wait_for_wire(&mut opened).await {
                    Ok(wire) => wire,
                    Err(error) => return self.tell(LineInput::Failed(error.to_string())).await,
                },
            };
            let mut waiting = VecDeque::new();
            let left = self.serve(wire, &mut opened, &mut waiting).await;
            self.tell(LineInput::Over).await?;
            self.tell(LineInput::Sent(waiting.len())).await?;
            match left {
                Left::Alone => return Err(Stopped),
                Left::Failed(error) if matches!(self.port, Port::Serial { .. }) => {
                    return self.tell(LineInput::Failed(error.to_string())).await;
                }
                Left::Failed(error) => {
                    tracing::debug!(port = %self.port, %error, "the device has left the line");
                }
                Left::Replaced(wire) => next = Some(wire),
            }
        }
    }

    /// Frames for nobody are dropped meanwhile.
    async fn wait_for_wire(&mut self, opened: &mut Opened) -> io::Result<Box<dyn Wire>> {
        loop {
            tokio::select! {
                wire = opened.next() => return wire,
                command = self.commands.recv() => match command {
                    Some(LineCommand::Send(..)) => drop(self.tell(LineInput::Sent(1)).await),
                    Some(LineCommand::End(_)) => {}
                    None => std::future::pending().await,
                },
            }
        }
    }

    /// Speaks on a wire until it fails or another one comes.
    async fn serve(
        &mut self,
        mut wire: Box<dyn Wire>,
        opened: &mut Opened,
        waiting: &mut VecDeque<(u64, Vec<u8>)>,
    ) -> Left {
        let mut link = GatewayLink::responder(self.port.timing(), self.random.next_u32());
        let (mut buffer, mut pending) = ([0; READ_LEN], Vec::new());
        let mut came: &[u8] = &[];
        let mut bytes;
        loop {
            link.set_capacity(self.capacity.available_permits().min(LINE_FRAMES_MAX) as u8);
            if self.take(&mut link, &mut came).await.is_err()
                || self.hand_over(&mut link, waiting).await.is_err()
            {
                return Left::Alone;
            }
            // What is on its way to the port is written first: the link counts the time from here.
            if pending.is_empty() {
                while let Some(line) = link.poll_line(self.now_ms()) {
                    pending.extend_from_slice(line);
                }
            }
            let timeout = link.poll_timeout(self.now_ms()).filter(|_| pending.is_empty());
            let is_full = self.capacity.available_permits() == 0;
            let (mut reader, mut writer) = tokio::io::split(&mut wire);
            let step = tokio::select! {
                read = reader.read(&mut buffer) => Step::Read(read),
                written = writer.write(&pending), if !pending.is_empty() => Step::Written(written),
                command = self.commands.recv() => Step::Command(command),
                wire = opened.next() => Step::Wire(wire),
                // Dropped at once: that there is one is enough.
                _ = self.capacity.clone().acquire_owned(), if is_full => Step::Again,
                () = sleep(timeout) => Step::Again,
            };
            match step {
                Step::Again => {}
                Step::Command(Some(LineCommand::End(connection))) if connection == self.connection => {
                    link.end();
                }
                Step::Command(Some(LineCommand::End(_))) => {}
                Step::Command(Some(LineCommand::Send(connection, frame))) => {
                    waiting.push_back((connection, frame));
                }
                Step::Command(None) => return Left::Alone,
                Step::Read(Ok(0)) => return Left::Failed(io::ErrorKind::UnexpectedEof.into()),
                Step::Read(Ok(len)) => {
                    bytes = buffer[..len].to_vec();
                    came = &bytes;
                }
                Step::Read(Err(error)) | Step::Written(Err(error)) => return Left::Failed(error),
                Step::Wire(Ok(wire)) => return Left::Replaced(wire),
                Step::Wire(Err(error)) => return Left::Failed(error),
                Step::Written(Ok(len)) => drop(pending.drain(..len)),
            }
        }
    }

    /// Gives what came to the engine.
    async fn take(&mut self, link: &mut GatewayLink, bytes: &mut &[u8]) -> Result<(), Stopped> {
        loop {
            let (input, capacity) = match link.receive(bytes) {
                Some(Input::Begun) => {
                    self.connection += 1;
                    (LineInput::Begun, None)
                }
                Some(Input::Frame(frame)) => {
                    let frame = frame.to_vec();
                    // The link gives no more than it was told to, so there is one.
                    let capacity = self.capacity.clone().acquire_owned().await.map_err(|_| Stopped)?;
                    (LineInput::Frame(frame), Some(capacity))
                }
                Some(Input::Over(over)) => {
                    tracing::info!(port = %self.port, %over, "the connection on a line ended");
                    (LineInput::Over, None)
                }
                None => return Ok(()),
            };
            self.events
                .send(LineEvent { line: self.line, input, _capacity: capacity })
                .await
                .map_err(|_| Stopped)?;
            self.tell(LineInput::Counted(link.counters())).await?;
        }
    }

    /// Gives frames to the link as long as it has capacity.
    async fn hand_over(
        &mut self,
        link: &mut GatewayLink,
        waiting: &mut VecDeque<(u64, Vec<u8>)>,
    ) -> Result<(), Stopped> {
        let mut sent = 0;
        while link.has_capacity()
            && let Some((connection, frame)) = waiting.pop_front()
        {
            sent += 1;
            if connection != self.connection {
                continue;
            }
            match link.send(&frame) {
                Ok(()) => {}
                // The next connection begins anew, so nothing is lost.
                Err(transport_serial::SendError::Closed) => {}
                Err(error) => {
                    tracing::error!(port = %self.port, %error, "a frame does not fit on the line; the connection ends");
                    link.end();
                    self.tell(LineInput::Over).await?;
                }
            }
        }
        if sent > 0 { self.tell(LineInput::Sent(sent)).await } else { Ok(()) }
    }

    async fn tell(&self, input: LineInput) -> Result<(), Stopped> {
        self.events.send(LineEvent { line: self.line, input, _capacity: None }).await.map_err(|_| Stopped)
    }

    fn now_ms(&self) -> u32 {
        self.started.elapsed().as_millis() as u32
    }
}

/// Why a wire's task goes on.
enum Step {
    Again,
    Command(Option<LineCommand>),
    Read(io::Result<usize>),
    Wire(io::Result<Box<dyn Wire>>),
    Written(io::Result<usize>),
}

async fn sleep(timeout_ms: Option<u32>) {
    match timeout_ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms.into())).await,
        None => std::future::pending().await,
    }
}

/// Four frames under way each way: enough for a line, and a device tells how many it takes.
type GatewayLink = Link<4, 3>;

/// How long after a failure a port is opened again.
const REOPEN: Duration = Duration::from_secs(1);
const READ_LEN: usize = 1024;
/// Events of all lines that wait for the engine.
const EVENTS_MAX: usize = 256;
