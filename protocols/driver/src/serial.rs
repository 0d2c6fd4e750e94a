//! A serial line: its keys, and how it is opened, for one program alone. Must never know the protocol that is spoken on
//! it.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use config::{Problems, Spanned};
use model::text;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::{DataBits, FlowControl, Parity, SerialStream, StopBits};

use crate::contract::Exclusive;

const CODE_SERIAL: &str = "GW-C062";
const BAUDS: RangeInclusive<u32> = 300..=4_000_000;
/// Rates that devices are set to; others are rare, and mostly a slip of the pen.
const USUAL_BAUDS: [u32; 20] = [
    300, 600, 1_200, 2_400, 4_800, 9_600, 14_400, 19_200, 28_800, 38_400, 56_000, 57_600, 76_800,
    115_200, 128_000, 230_400, 250_000, 460_800, 500_000, 921_600,
];
/// From this rate on converters offer whatever divides their clock.
const ANY_BAUD_FROM: u32 = 1_000_000;
/// Process ids that are looked through for the holder of a line.
const HOLDERS_SEEN_MAX: usize = 10_000;

/// How a serial line is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialSettings {
    /// The device file.
    pub path: String,
    /// Bits per second.
    pub baud: u32,
    /// Data bits, parity and stop bits, such as `8N1`.
    pub format: String,
}

impl fmt::Display for SerialSettings {
    /// `/dev/ttyS1 (9600 8N1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.path, self.baud, self.format)
    }
}

impl SerialSettings {
    /// Checks the keys of a line; `formats` are those of the protocol, its default first.
    pub fn check(
        path: &Spanned<String>,
        baud: Option<&Spanned<u32>>,
        format: Option<&Spanned<String>>,
        (baud_default, formats): (u32, &[&str]),
        problems: &mut Problems,
    ) -> Option<Self> {
        if let Some(baud) = baud.filter(|baud| !BAUDS.contains(&baud.value)) {
            let message = format!("`baud`: expected 300 to 4000000, found {}", baud.value);
            let help = format!("most devices use {baud_default} or 19200");
            problems.push(baud.problem(CODE_SERIAL, message).help(help));
            return None;
        }
        if let Some(baud) = baud.filter(|baud| is_unusual(baud.value)) {
            let rate = baud.value;
            let nearest = USUAL_BAUDS.into_iter().min_by_key(|usual| usual.abs_diff(rate));
            let nearest = nearest.unwrap_or(baud_default);
            problems.push(
                baud.problem(CODE_SERIAL, text!(
                    en: "`baud`: {rate} is no usual rate: did you mean {nearest}?",
                    zh: "`baud`：{rate} 不是常用波特率，是否为 {nearest}？"
                ))
                .help(text!(
                    en: "at a wrong rate only noise is heard; the device's manual or keypad says the right one",
                    zh: "波特率有误时只能收到乱码；正确值见设备手册或面板"
                ))
                .warning(),
            );
        }
        let format_default = formats.first().copied().unwrap_or("8N1");
        let text = format.map_or(format_default, |format| format.value.as_str());
        if !formats.contains(&text) || parts(text).is_none() {
            if let Some(format) = format {
                let message = format!("`format`: `{text}` is not one of this protocol");
                let help = format!("one of {}", formats.join(", "));
                problems.push(format.problem(CODE_SERIAL, message).help(help));
            }
            return None;
        }
        let baud = baud.map_or(baud_default, |baud| baud.value);
        Some(Self { path: path.value.clone(), baud, format: text.to_owned() })
    }

    /// How long so many characters take on the wire.
    #[must_use]
    pub fn wire_time(&self, characters: u32) -> Duration {
        // A character is at most 11 bits: start, 8 data, parity or second stop, stop.
        Duration::from_secs(1) * characters.saturating_mul(11) / self.baud
    }

    /// The line that two ports must not share, symbolic links followed.
    #[must_use]
    pub fn exclusive(named: Spanned<String>) -> Exclusive {
        let key = real(Path::new(&named.value));
        Exclusive { key: format!("serial line {}", key.display()), named }
    }
}

fn is_unusual(baud: u32) -> bool {
    baud < ANY_BAUD_FROM && !USUAL_BAUDS.contains(&baud)
}

/// The one name of a line, also while it is not plugged in: its folder is there then.
///
/// `/dev//ttyUSB0` → `/dev/ttyUSB0`
fn real(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = std::fs::canonicalize(path.parent()?).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let found = std::fs::canonicalize(path).ok().or_else(in_folder);
    let is_name = |part: &Component<'_>| *part != Component::CurDir;
    found.unwrap_or_else(|| path.components().filter(is_name).collect())
}

/// Data bits, parity and stop bits of `8N1` and its like.
fn parts(format: &str) -> Option<(DataBits, Parity, StopBits)> {
    let [data, parity, stop] = format.as_bytes() else { return None };
    let data = match data {
        b'7' => DataBits::Seven,
        b'8' => DataBits::Eight,
        _ => return None,
    };
    let parity = match parity {
        b'N' => Parity::None,
        b'E' => Parity::Even,
        b'O' => Parity::Odd,
        _ => return None,
    };
    let stop = match stop {
        b'1' => StopBits::One,
        b'2' => StopBits::Two,
        _ => return None,
    };
    Some((data, parity, stop))
}

/// An open serial line; clones are the same line.
#[derive(Debug, Clone)]
pub struct SerialLine(Arc<Mutex<SerialStream>>);

impl SerialLine {
    /// Opens a line, for this process alone.
    ///
    /// # Errors
    /// What the operating system says; where the line is in use, with the program that has it where that can be seen.
    #[expect(clippy::disallowed_methods, reason = "environment: a serial line")]
    pub fn open(settings: &SerialSettings) -> io::Result<Self> {
        let (data_bits, parity, stop_bits) =
            parts(&settings.format).ok_or(io::ErrorKind::InvalidInput)?;
        let builder = tokio_serial::new(&settings.path, settings.baud)
            .data_bits(data_bits)
            .parity(parity)
            .stop_bits(stop_bits)
            .flow_control(FlowControl::None);
        match SerialStream::open(&builder) {
            Ok(stream) => Ok(Self(Arc::new(Mutex::new(stream)))),
            Err(error) => {
                let error = io::Error::from(error);
                if !is_busy(&error) {
                    return Err(error);
                }
                let holder = holder(Path::new(&settings.path));
                let who = holder.unwrap_or_else(|| "another program".to_owned());
                Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{who} has it open")))
            }
        }
    }

    /// Takes what has come and waits for nothing; an empty vector when nothing has.
    #[must_use]
    pub fn take_stray(&self) -> Vec<u8> {
        let mut bytes = [0_u8; 256];
        let found = self.line().try_read(&mut bytes).unwrap_or(0);
        bytes.get(..found).unwrap_or_default().to_vec()
    }

    /// The line; a panic while it was held leaves a file descriptor, which cannot be in a bad state.
    fn line(&self) -> MutexGuard<'_, SerialStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_busy(error: &io::Error) -> bool {
    // tokio-serial keeps the text of the operating system, but not its number.
    let text = error.to_string();
    error.kind() == io::ErrorKind::ResourceBusy
        || text.contains("busy")
        || text.contains("exclusive lock")
}

/// Another program that has the file open, as far as this user may see: "`mbpoll` (process 812)".
fn holder(path: &Path) -> Option<String> {
    let real = std::fs::canonicalize(path).ok()?;
    let processes = std::fs::read_dir("/proc").ok()?.flatten().take(HOLDERS_SEEN_MAX);
    for process in processes {
        let pid = process.file_name();
        let Some(pid) = pid.to_str().and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let open = |file: std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|target| target == real)
        };
        if files.flatten().any(open) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("`{}` (process {pid})", name.trim_end()));
        }
    }
    None
}

impl AsyncRead for SerialLine {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.line()).poll_read(context, buffer)
    }
}

impl AsyncWrite for SerialLine {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.line()).poll_write(context, bytes)
    }

    /// Waits for nothing: what was written is the kernel's already. To flush the line itself would be `tcdrain`, which
    /// holds the thread until the last byte is on the wire, where no time limit reaches it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use config::SourceFile;
    use nix::pty::openpty;
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::timeout;

    use super::*;

    fn of_slave(pair: &nix::pty::OpenptyResult) -> SerialSettings {
        let path = nix::unistd::ttyname(&pair.slave).unwrap().display().to_string();
        SerialSettings { path, baud: 1200, format: "8N1".to_owned() }
    }

    /// A terminal pair has no wire, so a far end that takes nothing stands for a slow one.
    #[tokio::test]
    async fn a_request_does_not_hold_its_thread_until_it_is_on_the_wire() {
        let pair = openpty(None, None).unwrap();
        let mut line = SerialLine::open(&of_slave(&pair)).unwrap();
        let full = async { while line.write(&[0; 256]).await.unwrap() > 0 {} };
        timeout(Duration::from_millis(200), full).await.unwrap_err();
        let flushed = async { line.flush().await.and(line.shutdown().await) };
        timeout(Duration::from_millis(200), flushed).await.unwrap().unwrap();
    }

    #[test]
    fn names_the_program_that_has_the_line() {
        let pair = openpty(None, None).unwrap();
        let who = holder(Path::new(&of_slave(&pair).path)).unwrap();
        assert!(who.ends_with(&format!("(process {})", std::process::id())), "{who}");
        assert_eq!(holder(Path::new("/dev/nengliu-no-such-line")), None);
    }

    /// O10: "Unable to acquire exclusive lock on serial port. Check the name and that the converter is plugged in".
    #[test]
    fn a_line_that_another_program_has_is_busy_and_its_holder_is_named() {
        let pair = openpty(None, None).unwrap();
        let settings = of_slave(&pair);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        let _first = SerialLine::open(&settings).unwrap();
        let error = SerialLine::open(&settings).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error:?}");
        let who = format!("(process {}) has it open", std::process::id());
        assert!(error.to_string().ends_with(&who), "{error}");
    }

    #[test]
    fn a_rate_that_no_device_has_is_doubted() {
        let problems = |rate: u32| {
            let file = SourceFile::new("gateway.toml", rate.to_string());
            let path = Spanned { value: "/dev/ttyS0".to_owned(), file: file.clone(), span: 0..1 };
            let baud = Spanned { value: rate, file, span: 0..1 };
            let mut problems = Problems::default();
            let checked =
                SerialSettings::check(&path, Some(&baud), None, (9_600, &["8N1"]), &mut problems);
            assert_eq!(checked.is_some(), !problems.is_fatal());
            problems.to_string()
        };
        for rate in USUAL_BAUDS.into_iter().chain([1_000_000, 1_500_000, 3_000_000]) {
            assert_eq!(problems(rate), "", "{rate}");
        }
        for (rate, meant) in [(9_601, 9_600), (19_201, 19_200), (115_000, 115_200), (301, 300)] {
            let told = problems(rate);
            assert!(
                told.contains(&format!("{rate} is no usual rate: did you mean {meant}?")),
                "{told}"
            );
        }
    }

    #[test]
    fn two_names_of_one_line_are_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("ttyS9"), folder.path().join("meters"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let key = |path: &Path| {
            let value = path.display().to_string();
            let file = SourceFile::new("gateway.toml", value.clone());
            SerialSettings::exclusive(Spanned { span: 0..value.len(), value, file }).key
        };
        assert_eq!(key(&real), key(&link));
        assert_ne!(key(&real), key(&folder.path().join("ttyS8")));
        // Also while it is not plugged in.
        let line = "/dev/nengliu-no-such-line";
        for other in ["/dev//nengliu-no-such-line", "/dev/./nengliu-no-such-line"] {
            assert_eq!(key(Path::new(other)), key(Path::new(line)));
        }
        assert_eq!(key(Path::new("/none//./line")), key(Path::new("/none/line")));
    }
}
