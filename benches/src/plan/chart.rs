//! Horizontal bars, for a terminal of 80 columns and as SVG.

use std::fmt::Write as _;

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What it stands for; at most 24 characters are shown in a terminal.
    pub name: String,
    /// Its length.
    pub value: u64,
    /// What is written beside it; at most 20 characters in a terminal.
    pub label: String,
}

/// Bars for a terminal, one a line, at most [`COLUMNS`] wide. The longest value fills its line.
pub fn terminal(bars: &[Bar]) -> String {
    let most = most(bars);
    let mut out = String::new();
    for Bar { name, value, label } in bars {
        let blocks = "#".repeat(scaled(*value, most, BAR_COLUMNS));
        let line = format!("  {name:<24.24} {label:>20.20}  {blocks}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The same as SVG: groups of bars, each with its title and its own scale.
pub fn svg(title: &str, groups: &[(&str, Vec<Bar>)]) -> String {
    let rows = groups.iter().map(|(_, bars)| bars.len() + 2).sum::<usize>() + 1;
    let height = rows * ROW_PX + 2 * MARGIN_PX;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH_PX} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH_PX}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut row = 1;
    text(&mut out, MARGIN_PX, row, "bold", title);
    for (name, bars) in groups {
        row += 2;
        text(&mut out, MARGIN_PX, row, "bold", name);
        for bar in bars {
            row += 1;
            text(&mut out, MARGIN_PX, row, "normal", &bar.name);
            let len = scaled(bar.value, most(bars), BAR_PX);
            let y = MARGIN_PX + row * ROW_PX - 11;
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "<rect x=\"{BAR_LEFT_PX}\" y=\"{y}\" width=\"{len}\" height=\"13\" fill=\"#3b6ea5\"/>"
            );
            text(&mut out, BAR_LEFT_PX + len + 6, row, "normal", &bar.label);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Bytes in a unit that suits a month of a device, with three digits: `0.41 MB`.
pub fn amount(bytes: u64) -> String {
    let (amount, unit) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..100_000 => (bytes as f64 / 1e3, "kB"),
        100_000..1_000_000_000 => (bytes as f64 / 1e6, "MB"),
        _ => (bytes as f64 / 1e9, "GB"),
    };
    let digits = match amount {
        100.0.. => 0,
        10.0..100.0 => 1,
        _ => 2,
    };
    format!("{amount:.digits$} {unit}")
}

/// The widest line of [`terminal`].
pub const COLUMNS: usize = 79;

fn most(bars: &[Bar]) -> u64 {
    bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1)
}

/// At least 1 for what is not nothing.
fn scaled(value: u64, most: u64, full: usize) -> usize {
    if value == 0 {
        return 0;
    }
    ((value as f64 / most as f64 * full as f64).round() as usize).clamp(1, full)
}

fn text(out: &mut String, x: usize, row: usize, weight: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let y = MARGIN_PX + row * ROW_PX;
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-weight=\"{weight}\">{text}</text>");
}

const BAR_COLUMNS: usize = COLUMNS - 2 - 24 - 1 - 20 - 2;
const WIDTH_PX: usize = 760;
const BAR_LEFT_PX: usize = 220;
const BAR_PX: usize = 340;
const ROW_PX: usize = 20;
const MARGIN_PX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, value: u64) -> Bar {
        Bar { name: name.into(), value, label: format!("{value} B") }
    }

    #[test]
    fn amounts_have_three_digits() {
        let shown = [12, 3_789, 41_234, 407_000, 12_345_678, 594_000_000, 2_345_678_901].map(amount);
        assert_eq!(shown, ["12 B", "3.79 kB", "41.2 kB", "0.41 MB", "12.3 MB", "594 MB", "2.35 GB"]);
    }

    #[test]
    fn the_longest_bar_fills_the_line_and_none_is_longer() {
        let bars = [bar("all", 1_000), bar("half", 500), bar("next to nothing", 1), bar("nothing", 0)];
        let drawn = terminal(&bars);
        let lengths: Vec<_> = drawn.lines().map(|line| line.matches('#').count()).collect();
        assert_eq!(lengths, [BAR_COLUMNS, BAR_COLUMNS / 2, 1, 0]);
        assert!(drawn.lines().all(|line| line.len() <= COLUMNS));
        let wide = terminal(&[bar(&"x".repeat(100), u64::MAX)]);
        assert_eq!(wide.trim_end().len(), COLUMNS);
    }

    #[test]
    fn nothing_at_all_is_drawn_too() {
        assert_eq!(terminal(&[bar("nothing", 0)]), format!("  {:<24} {:>20}\n", "nothing", "0 B"));
    }

    #[test]
    fn svg_escapes_what_is_written() {
        let drawn = svg("a < b", &[("R&D", vec![bar("x>y", 2), bar("z", 1)])]);
        assert!(drawn.contains(">a &lt; b</text>") && drawn.contains(">R&amp;D</text>"), "{drawn}");
        assert!(
            drawn.contains("x&gt;y") && drawn.contains("width=\"340\"") && drawn.contains("width=\"170\"")
        );
    }
}
