//! The looks of cells: black on white, thin lines, song-type letters, numbers padded to one decimal point. Must never know
//! what a cell says.

use rust_xlsxwriter::{Format, FormatAlign, FormatBorder};

const FONT: &str = "宋体";
/// Places that a coefficient has at most; fewer are padded, so that decimal points stand in one column.
const COEFFICIENT_PLACES: usize = 7;
/// Places that a value has at most in the form.
const VALUE_PLACES: usize = 4;

pub(super) fn plain() -> Format {
    Format::new().set_font_name(FONT).set_font_size(10.5).set_align(FormatAlign::VerticalCenter)
}

pub(super) fn title() -> Format {
    plain().set_font_size(16).set_bold().set_align(FormatAlign::Center)
}

pub(super) fn head() -> Format {
    boxed().set_bold().set_align(FormatAlign::Center).set_text_wrap()
}

pub(super) fn boxed() -> Format {
    plain().set_border(FormatBorder::Thin)
}

pub(super) fn name() -> Format {
    boxed().set_align(FormatAlign::Left).set_indent(1).set_text_wrap()
}

pub(super) fn centred() -> Format {
    boxed().set_align(FormatAlign::Center).set_text_wrap()
}

pub(super) fn note() -> Format {
    plain().set_font_size(9).set_text_wrap().set_align(FormatAlign::Top)
}

/// A number with grouped digits and so many places, its decimal point in one column with those of four places.
pub(super) fn number(places: usize) -> Format {
    right(format!("#,##0{}{}", fraction(places), "_0".repeat(VALUE_PLACES.saturating_sub(places))))
}

/// A coefficient with so many places.
pub(super) fn coefficient(places: usize) -> Format {
    let pad = "_0".repeat(COEFFICIENT_PLACES.saturating_sub(places));
    right(format!("0{}{pad}", fraction(places)))
}

/// A share, with a sign.
pub(super) fn percent() -> Format {
    right("+0.0\" %\";-0.0\" %\";0.0\" %\"".to_owned())
}

/// A share of what is there.
pub(super) fn coverage() -> Format {
    right("0.0\" %\"".to_owned())
}

fn right(format: String) -> Format {
    boxed().set_align(FormatAlign::Right).set_indent(1).set_num_format(format)
}

fn fraction(places: usize) -> String {
    if places == 0 { String::new() } else { format!(".{}", "0".repeat(places)) }
}

/// Digits after the point of a printed number.
pub(super) fn places(number: &str) -> usize {
    number.split_once('.').map_or(0, |(_, fraction)| fraction.len())
}
