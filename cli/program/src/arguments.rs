//! Values of the command line that both programs take.

use std::time::Duration;

/// Reads a duration with its unit, as the settings files write it: `90s` or `5min`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let item = config::Item::Text(text.to_owned());
    config::FromToml::from_item(item)
        .map_err(|_| "expected a duration such as 90s or 5min".to_owned())
}
