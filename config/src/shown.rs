//! The text of a file as it may be shown: what could be a password is masked, byte for byte, so that places stay. It
//! must hold for files that are no TOML at all, so it never parses them. Must never be used to judge a value.

use std::ops::Range;

/// A key whose name has one of these in it holds a secret, unless it names a file.
const SECRET_NAMES: [&str; 5] = ["password", "passwd", "secret", "token", "key"];
/// The end of the name of a key that holds a path.
const OF_FILE: &str = "_file";

/// The text with its secrets masked.
///
/// `password = "x"` → `password = ***`; `url = "ws://joe:x@host/mqtt?y"` → `url = "ws://*****@host/mqtt?*"`
pub(crate) fn masked(text: &str) -> String {
    let mut secrets: Vec<Range<usize>> = urls(text);
    secrets.extend(values(text));
    secrets.sort_by_key(|secret| secret.start);
    // One that stands inside of another one is masked with it.
    let mut upto = 0;
    secrets.retain(|secret| {
        let is_new = secret.end > upto;
        upto = upto.max(secret.end);
        is_new
    });
    let mut secrets = secrets.into_iter().peekable();
    let mut shown = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        while secrets.next_if(|secret| secret.end <= at).is_some() {}
        let is_secret = secrets.peek().is_some_and(|secret| secret.contains(&at));
        if is_secret && !matches!(c, '\n' | '\r') {
            shown.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Of the part of a URL behind `://`: names and passwords before an `@`, and what stands behind `?` or `#`.
pub(crate) fn secrets_of_url(rest: &str) -> Vec<Range<usize>> {
    let at = rest.rfind('@');
    let behind = rest.find(['?', '#']).map(|mark| mark + 1..rest.len());
    match (at, behind) {
        // Perhaps a password with a `?` in it, perhaps a query with an `@` in it.
        (Some(at), Some(query)) if query.start <= at => vec![0..at, at + 1..rest.len()],
        (at, behind) => at.map(|at| 0..at).into_iter().chain(behind).collect(),
    }
}

fn urls(text: &str) -> Vec<Range<usize>> {
    let ends = |c: char| c.is_whitespace() || "\"'".contains(c);
    let mut found = Vec::new();
    for scheme in ["://", r":\\"] {
        for (mark, _) in text.match_indices(scheme) {
            let start = mark + scheme.len();
            let rest = text.get(start..).unwrap_or_default();
            let url = rest.split(ends).next().unwrap_or_default();
            let secrets = secrets_of_url(url).into_iter();
            found.extend(secrets.map(|secret| start + secret.start..start + secret.end));
        }
    }
    // `joe:secret@host`, where the scheme was forgotten.
    for (at, _) in text.match_indices('@') {
        let before = text.get(..at).unwrap_or_default();
        let name = before.rsplit(ends).next().unwrap_or_default();
        if name.contains(':') && !name.contains("://") {
            found.push(at - name.len()..at);
        }
    }
    found
}

/// What follows the names of keys that hold secrets, also in comments, inline tables and behind a `:` of another format.
fn values(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut done, mut in_section) = (0, false);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let line_start = start;
        start += line.len();
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') && !trimmed.contains('=') {
            in_section = is_secret_name(trimmed);
        }
        for (sign, _) in line.match_indices(['=', ':']) {
            let value = line_start + sign + 1;
            let before = line.get(..sign).unwrap_or_default().trim_end();
            let is_name = |c: char| c.is_alphanumeric() || "_-.\"'".contains(c);
            let name_at = before.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
            // A character of several bytes before the name is none of the name's.
            let name = before.get(name_at..).unwrap_or(before);
            if value < done || !(in_section || is_secret_name(name)) {
                continue;
            }
            let rest = text.get(value..).unwrap_or_default();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            done = value + blank + length_of_value(rest.get(blank..).unwrap_or_default());
            found.push(value + blank..done);
        }
    }
    found
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.trim_matches(['"', '\'']);
    !name.ends_with(OF_FILE) && SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// To the end of the line, or of what goes on behind it: a text of several lines, a list, a table.
fn length_of_value(rest: &str) -> usize {
    let line = rest.find('\n').unwrap_or(rest.len());
    for quote in ["\"\"\"", "'''"] {
        if let Some(text) = rest.strip_prefix(quote) {
            return text.find(quote).map_or(rest.len(), |end| end + 2 * quote.len()).max(line);
        }
    }
    if !rest.starts_with(['[', '{']) {
        return line;
    }
    let mut depth = 0_u32;
    for (at, c) in rest.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return line.max(at + 1);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = masked(text);
        assert_eq!(shown, expected);
        assert_eq!(shown.len(), text.len());
    }

    #[test]
    fn secrets_in_urls_are_not_shown_and_places_stay() {
        check("url = \"mqtt://joe:secret@host:1883\"", "url = \"mqtt://**********@host:1883\"");
        check("a = 'opc.tcp://a/b'\nb = 'mqtt://x@y@z'", "a = 'opc.tcp://a/b'\nb = 'mqtt://***@z'");
        check("# mqtt://张三:口令@h\n", "# mqtt://*************@h\n");
        check("url = \"ws://host/mqtt?x=SECRET\"", "url = \"ws://host/mqtt?********\"");
        check("url = 'wss://host/mqtt#SECRET' # a", "url = 'wss://host/mqtt#******' # a");
        check("url = 'ws://host?x=a@SECRET'", "url = 'ws://********@******'");
        check("url = 'ws://a?b:c@host/d'", "url = 'ws://*****@******'");
        check("url = 'ws://a?r=http://b?c'", "url = 'ws://a?************'");
        check("url = 'joe:SECRET@host'", "url = '**********@host'");
        check(r"url = 'wss:\\joe:SECRET@host'", r"url = '****************@host'");
        check("mail = 'joe@host'", "mail = 'joe@host'");
        check("", "");
    }

    #[test]
    fn values_of_keys_that_hold_secrets_are_not_shown() {
        check(
            "[broker]\npassword = \"SECRET\"\nport = 1",
            "[broker]\npassword = ********\nport = 1",
        );
        check("\tMQTT-Passwd='SECRET'\r\n", "\tMQTT-Passwd=********\r\n");
        check("# api_token = SECRET", "# api_token = ******");
        check("\"key\" = 'SECRET'", "\"key\" = ********");
        check("a = { secret = \"S\", b = 1 }\nc = 1", "a = { secret = ************\nc = 1");
        check("password: SECRET\n", "password: ******\n");
        check("password = 口令\n", "password = ******\n");
        check("口令 = 1\n值password = SECRET\n", "口令 = 1\n值password = ******\n");
        check("password = \"\"\"\nSECRET\n\"\"\"\nb = 1", "password = ***\n******\n***\nb = 1");
        check("token = [\n 'SE',\n 'CRET' ]\nb = 1", "token = *\n******\n*********\nb = 1");
        check(
            "[tokens]\nbroker = \"SECRET\"\n[a]\nb = 1",
            "[tokens]\nbroker = ********\n[a]\nb = 1",
        );
        check("password = '''SECRET", "password = *********");
        // A path is needed to find the file, and no secret.
        check("password_file = \"pw\"\n", "password_file = \"pw\"\n");
        check("poll = \"5s\"\n", "poll = \"5s\"\n");
    }
}
