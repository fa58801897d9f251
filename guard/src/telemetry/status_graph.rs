//! The requests of the last hour as HTML: the sums, one bar for each minute as SVG, and the same as a table.

use std::fmt::Write as _;
use std::time::Duration;

use super::recent_requests::{LastHour, MINUTES, OwnTime};

/// The height of the graph, in its own units. Whole numbers will do: a screen has fewer lines.
const HEIGHT: u64 = 1000;
/// The minutes of one row of the table.
const ROW_MINUTES: usize = 5;

/// The sums, guard's own share of the time, and the graph.
pub(super) fn graph(hour: &LastHour, own_time: Option<OwnTime>) -> String {
    let [passed, sign_in, refused] = [&hour.passed, &hour.sign_in, &hour.refused].map(|counts| counts.iter().sum::<u32>());
    let busiest = totals(hour).max().unwrap_or(0);
    let mut html = String::from("<dl class=numbers>");
    for (class, name, sum) in
        [("passed", "passed", passed), ("refused", "refused", refused), ("sign-in", "sent to sign-in", sign_in)]
    {
        if sum > 0 || class != "sign-in" {
            // Writing into a String cannot fail.
            let _ = write!(html, "<div><dt class=\"key {class}\">{name}<dd>{}</div>", grouped(u64::from(sum)));
        }
    }
    let times = own_time.map(|OwnTime { p50, p99, .. }| (milliseconds(p50), milliseconds(p99)));
    let (p50, p99) = times.unwrap_or_else(|| ("–".to_owned(), "–".to_owned()));
    let _ = write!(html, "<div><dt>own time, p50<dd>{p50}</div><div><dt>own time, p99<dd>{p99}</div></dl>");
    if busiest == 0 {
        return html + "<p class=none>No requests.</p>";
    }
    let _ = write!(
        html,
        "<svg viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=none role=img aria-label=\"Requests in each minute of the last hour: {passed} \
         passed, {refused} refused, {sign_in} sent to sign-in. The busiest minute had {busiest}.\">",
        MINUTES * 10
    );
    let mut below = [0_u32; MINUTES];
    for (class, counts) in [("passed", &hour.passed), ("sign-in", &hour.sign_in), ("refused", &hour.refused)] {
        let _ = write!(html, "<path class={class} d=\"");
        for (minute, (count, below)) in counts.iter().zip(&mut below).enumerate().filter(|(_, (count, _))| **count > 0) {
            let scaled = |count: u32| HEIGHT * u64::from(count) / u64::from(busiest);
            let bottom = HEIGHT - scaled(*below);
            // One refusal among thousands is still seen.
            let height = scaled(*count).max(20);
            let _ = write!(html, "M{} {bottom}v-{height}h8v{height}z", minute * 10 + 1);
            *below += count;
        }
        html.push_str("\"/>");
    }
    let _ = write!(
        html,
        "</svg><p class=axis aria-hidden=true><span>1 h ago</span><span>busiest minute: {}</span><span>now</span></p>",
        grouped(u64::from(busiest))
    );
    html
}

/// The same numbers as a table, for who does not see the graph: five minutes a row, the newest first.
pub(super) fn table(hour: &LastHour) -> String {
    let mut html = String::from(
        "<table><caption class=small>Requests, by decision</caption><tr><th scope=col>minutes ago<th scope=col>passed<th scope=col>refused\
         <th scope=col>sent to sign-in",
    );
    for row in (0..MINUTES).step_by(ROW_MINUTES) {
        let sum = |counts: &[u32; MINUTES]| counts.iter().rev().skip(row).take(ROW_MINUTES).sum::<u32>();
        let (passed, refused, sign_in) = (sum(&hour.passed), sum(&hour.refused), sum(&hour.sign_in));
        let _ = write!(html, "<tr><th scope=row>{row}–{}<td>{passed}<td>{refused}<td>{sign_in}", row + ROW_MINUTES);
    }
    html + "</table>"
}

/// A number in groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn totals(hour: &LastHour) -> impl Iterator<Item = u32> {
    let LastHour { passed, sign_in, refused } = hour;
    passed.iter().zip(sign_in).zip(refused).map(|((passed, sign_in), refused)| passed + sign_in + refused)
}

fn milliseconds(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..10_000 => format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10),
        micros => format!("{} ms", micros / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour() -> LastHour {
        let mut hour = LastHour { passed: [0; MINUTES], sign_in: [0; MINUTES], refused: [0; MINUTES] };
        hour.passed[59] = 1500;
        hour.passed[58] = 20;
        hour.refused[59] = 500;
        hour.refused[0] = 1;
        hour
    }

    #[test]
    fn the_graph_has_a_bar_for_each_minute_with_requests_and_says_the_same_in_words() {
        let html = graph(&hour(), Some(OwnTime { p50: Duration::from_micros(90), p99: Duration::from_millis(12), requests: 9 }));
        assert_eq!(html.matches("h8").count(), 4, "{html}");
        assert!(html.contains("M591 1000v-750h8v750z") && html.contains("M591 250v-250h8v250z"), "stacked: {html}");
        assert!(html.contains("M1 1000v-20h"), "one request is seen: {html}");
        assert!(html.contains("1520 passed, 501 refused, 0 sent to sign-in. The busiest minute had 2000."), "{html}");
        assert!(html.contains("<dd>1\u{202f}520") && html.contains("0.09 ms") && html.contains("12 ms"), "{html}");
    }

    #[test]
    fn the_table_has_the_sums_of_five_minutes() {
        let html = table(&hour());
        assert!(html.contains("0–5<td>1520<td>500<td>0") && html.contains("55–60<td>0<td>1<td>0"), "{html}");
    }

    #[test]
    fn an_hour_without_requests_has_no_graph() {
        let html = graph(&LastHour { passed: [0; MINUTES], sign_in: [0; MINUTES], refused: [0; MINUTES] }, None);
        assert!(html.contains("No requests.") && !html.contains("<svg"), "{html}");
    }
}
