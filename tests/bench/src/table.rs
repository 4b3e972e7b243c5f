//! What contestants did in their turns, and the table of it.

use std::time::Duration;

/// One turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) elapsed: Duration,
    /// Of all its processes.
    pub(crate) cpu: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Turn {
    fn rate(&self) -> f64 {
        self.ok as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.ok.max(1) as f64
    }
}

/// All turns of one contestant.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) turns: Vec<Turn>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            turns: Vec::new(),
        }
    }

    fn median(&self, of: impl Fn(&Turn) -> f64) -> f64 {
        let mut all: Vec<f64> = self.turns.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Medians over the turns. `control` is the row the ratios are against: how much of its work another one does with the same
/// processor time, and in the same time.
pub(crate) fn print(title: &str, rows: &[Row], control: usize) {
    println!("\n### {title}\n");
    println!(
        "| {:<40} | CPU µs/request | × control | requests/s | × control | p50 µs | p99 µs | failed |",
        ""
    );
    println!(
        "| {} | --: | --: | --: | --: | --: | --: | --: |",
        "-".repeat(40)
    );
    let Some(base) = rows.get(control) else {
        return;
    };
    let (cost, rate) = (base.median(Turn::cost), base.median(Turn::rate));
    for row in rows {
        println!(
            "| {:<40} | {:.1} | {:.2} | {:.0} | {:.2} | {:.0} | {:.0} | {} |",
            row.name,
            row.median(Turn::cost),
            cost / row.median(Turn::cost),
            row.median(Turn::rate),
            row.median(Turn::rate) / rate,
            row.median(|turn| turn.p50.as_secs_f64() * 1e6),
            row.median(|turn| turn.p99.as_secs_f64() * 1e6),
            row.turns.iter().map(|turn| turn.failed).sum::<u64>(),
        );
    }
    let each = || base.turns.iter().map(Turn::cost);
    let (least, most) = (
        each().fold(f64::INFINITY, f64::min),
        each().fold(0.0, f64::max),
    );
    println!(
        "\nThe control, {}, between {least:.1} and {most:.1} CPU µs/request over {} rounds: {:.0} %.",
        base.name,
        base.turns.len(),
        (most / least - 1.0) * 100.0
    );
}
