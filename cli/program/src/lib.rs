//! What both programs share: the real clock and randomness, the log, and how problems and errors are shown. Must never
//! know a gateway, a store or a broker.

mod arguments;
mod command_line;
mod hangup;
mod host;
mod language;
mod logging;
mod output;
mod render;
mod show;
mod starter;

pub use arguments::parse_duration;
pub use command_line::{in_language, parse};
pub use hangup::outlive_terminal;
pub use host::{SystemClock, SystemEntropy};
pub use language::{language, parse_language};
pub use logging::{ANSWER_LOG, DEFAULT_LOG, QUIET_LOG, set_up};
pub use output::{Output, OutputError, OutputFault, print, print_line, tell};
pub use render::{problems_as_json, render_problem, render_problems};
pub use show::{show_error, show_words};
pub use starter::Starter;
