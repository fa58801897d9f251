//! A pseudo-terminal with a program in it, as a person uses one: types, reads what is shown, presses Ctrl-C (pty(7), termios(3)).
//!
//! Nothing here sleeps: a thread reads what the program shows, and whoever waits for a text is woken by it.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// The most time for a text, for the end of a program, and for what is typed to be taken.
const LIMIT: Duration = Duration::from_secs(60);
/// Wide enough that a shell does not scroll its line sideways.
const SIZE: Winsize = Winsize { ws_row: 50, ws_col: 1000, ws_xpixel: 0, ws_ypixel: 0 };
/// What is written at once. A terminal that can take anything takes this.
const CHUNK_BYTES: usize = 64;

/// What Ctrl-C sends: SIGINT, where the terminal makes signals of keys.
pub const CTRL_C: &str = "\x03";
/// What Ctrl-D sends: the end of the input, on an empty line.
pub const CTRL_D: &str = "\x04";

/// A terminal with a running program. The program is killed when this is dropped.
pub struct Terminal {
    child: Child,
    /// The side of the person.
    person: File,
    /// The side of the program. Held open: the settings of a terminal go with its last user.
    program: Option<File>,
    screen: Arc<Screen>,
    reader: Option<JoinHandle<()>>,
    /// How much of the screen earlier waits have passed, in bytes.
    passed: usize,
}

/// How the program in a terminal ended.
#[derive(Debug)]
pub struct Left {
    /// Its exit status.
    pub status: ExitStatus,
    /// Whether the terminal echoes now.
    pub echoes: bool,
    /// All that was shown.
    pub shown: String,
}

/// What was shown so far, and whether more may come.
#[derive(Default)]
struct Screen {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Terminal {
    /// A command that makes its standard input its controlling terminal, in a session of its own, and then runs `program`.
    pub fn command(program: &str) -> Command {
        let mut command = Command::new("setsid");
        command.args(["-c", program]);
        command
    }

    /// Opens a terminal, and starts a command of [`Terminal::command`] in it.
    pub fn start(mut command: Command) -> Result<Self> {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&person)?;
        unlockpt(&person)?;
        tcsetwinsize(&person, SIZE)?;
        let program = File::from(ioctl_tiocgptpeer(&person, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?);
        let person = File::from(person);
        let stdio = || program.try_clone().map(Stdio::from);
        let child = command.stdin(stdio()?).stdout(stdio()?).stderr(stdio()?).spawn()?;
        // The command holds copies of the program's side, too.
        drop(command);
        let screen = Arc::new(Screen::default());
        let (mut from, to) = (person.try_clone()?, screen.clone());
        let reader = std::thread::spawn(move || to.fill(&mut from));
        Ok(Self { child, person, program: Some(program), screen, reader: Some(reader), passed: 0 })
    }

    /// The session of the program, which is also its process id (setsid(2)).
    pub fn session(&self) -> u32 {
        self.child.id()
    }

    /// Types a text, as it is: `\n` is the Enter key.
    pub fn type_text(&mut self, text: impl AsRef<[u8]>) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        for chunk in text.as_ref().chunks(CHUNK_BYTES) {
            if !wait(PollFd::new(&self.person, PollFlags::OUT), deadline)? {
                return Err(self.late("the program to take what is typed"));
            }
            self.person.write_all(chunk)?;
        }
        Ok(())
    }

    /// Waits until `text` is shown behind what earlier waits have passed, and returns what stands before it.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        let mut state = self.screen.state.lock().map_err(|_| poisoned())?;
        loop {
            let rest = &state.0[self.passed..];
            if let Some(at) = rest.windows(text.len()).position(|window| window == text.as_bytes()) {
                let before = String::from_utf8_lossy(&rest[..at]).into_owned();
                self.passed += at + text.len();
                return Ok(before);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                return Err(self.late(&format!("{text:?}")));
            }
            state = self.screen.changed.wait_timeout(state, left).map_err(|_| poisoned())?.0;
        }
    }

    /// Whether the terminal shows now what is typed.
    pub fn echoes(&self) -> Result<bool> {
        Ok(tcgetattr(&self.person)?.local_modes.contains(LocalModes::ECHO))
    }

    /// All that was shown so far.
    pub fn shown(&self) -> String {
        let state = self.screen.state.lock();
        state.map(|state| String::from_utf8_lossy(&state.0).into_owned()).unwrap_or_default()
    }

    /// Waits for the end of the program.
    pub fn end(mut self) -> Result<Left> {
        let deadline = Instant::now() + LIMIT;
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        if !wait(PollFd::new(&process, PollFlags::IN), deadline)? {
            return Err(self.late("the end of the program"));
        }
        let status = self.child.wait()?;
        let echoes = self.echoes()?;
        // Now the last user is gone, and the reader comes to an end.
        drop(self.program.take());
        let mut state = self.screen.state.lock().map_err(|_| poisoned())?;
        while !state.1 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                return Err(self.late("the end of what it shows: does a child of the program still run?"));
            }
            state = self.screen.changed.wait_timeout(state, left).map_err(|_| poisoned())?.0;
        }
        drop(state);
        Ok(Left { status, echoes, shown: self.shown() })
    }

    fn late(&self, what: &str) -> Error {
        let text = format!("waited {} s in vain for {what}; the terminal shows:\n{}", LIMIT.as_secs(), self.shown());
        Error::new(ErrorKind::TimedOut, text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended already is no error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.program.take());
        // A child of the program may still hold the terminal: then its reader goes on without anybody who waits for it.
        drop(self.reader.take());
    }
}

impl Screen {
    /// Reads until nobody has the program's side open any more: then reading is an error (EIO).
    fn fill(&self, from: &mut File) {
        let mut part = [0; 4096];
        loop {
            let count = from.read(&mut part).unwrap_or(0);
            let Ok(mut state) = self.state.lock() else { return };
            state.0.extend_from_slice(&part[..count]);
            state.1 = count == 0;
            drop(state);
            self.changed.notify_all();
            if count == 0 {
                return;
            }
        }
    }
}

/// Waits until a descriptor is ready. `false` once the deadline has passed.
fn wait(descriptor: PollFd<'_>, deadline: Instant) -> Result<bool> {
    let mut descriptors = [descriptor];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut descriptors, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}

fn poisoned() -> Error {
    Error::other("the reader of the terminal panicked")
}
