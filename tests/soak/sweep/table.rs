//! The figures of a measurement, and whether the sweep is a good neighbour.

use std::time::Duration;

use super::load::Served;
use super::plan::Plan;

/// How many times its idle value p99 may be beside the sweep.
const AIM: f64 = 2.0;

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    idle: Served,
    beside: Served,
    swept: u64,
    took: Duration,
    /// In KiB; none where a system does not tell.
    memory: Option<u32>,
}

impl Measured {
    /// Refreshes with nothing to sweep and beside the sweep, the rows that were swept, and within which time.
    ///
    /// # Errors
    /// What did not happen, so that nothing is known.
    pub(super) fn of(
        [idle, beside]: [Served; 2],
        swept: u64,
        took: Duration,
        memory: Option<u32>,
    ) -> Result<Self, String> {
        if swept == 0 {
            return Err("nothing was swept".to_owned());
        }
        if idle.count() == 0 || beside.count() == 0 {
            return Err("nobody was served".to_owned());
        }
        Ok(Self {
            idle,
            beside,
            swept,
            took,
            memory,
        })
    }

    fn ratio(&self) -> f64 {
        let [beside, idle] = [&self.beside, &self.idle].map(|served| served.percentile(99).as_secs_f64());
        if idle > 0.0 { beside / idle } else { f64::INFINITY }
    }

    /// True unless p99 beside the sweep exceeds the aim.
    pub(super) fn is_quick_enough(&self) -> bool {
        self.ratio() <= AIM
    }

    /// Prints the table.
    pub(super) fn print(&self, plan: &Plan) {
        let options = &plan.options;
        println!(
            "sweep on {}: {} replicas, {} clients, seed {}",
            options.database.as_str(),
            options.replicas,
            options.clients,
            options.seed
        );
        for (what, figure, note) in self.lines(plan) {
            println!("  {what:<30}{figure:>14}  {note}");
        }
        if !self.is_quick_enough() {
            println!(
                "  refresh p99 beside the sweep is more than {AIM} times what it is without: this fails"
            );
        }
    }

    fn lines(&self, plan: &Plan) -> Vec<(&'static str, String, String)> {
        let line = |what, figure| (what, figure, String::new());
        let time = |served: &Served, percent| format!("{:.2} ms", millis(served.percentile(percent)));
        let memory = self.memory.map_or_else(
            || "unknown".to_owned(),
            |kib| format!("{:.1} MiB", f64::from(kib) / 1024.0),
        );
        vec![
            line("rows seeded", plan.rows.to_string()),
            line("rows swept", self.swept.to_string()),
            line("swept in", format!("{:.1} s", self.took.as_secs_f64())),
            line("rows swept a second", self.rate().to_string()),
            line("refreshes, idle", self.idle.count().to_string()),
            line("refreshes, sweeping", self.beside.count().to_string()),
            line("asked again, idle", self.idle.unserved.to_string()),
            line("asked again, sweeping", self.beside.unserved.to_string()),
            line("refresh p50, idle", time(&self.idle, 50)),
            line("refresh p50, sweeping", time(&self.beside, 50)),
            line("refresh p99, idle", time(&self.idle, 99)),
            line("refresh p99, sweeping", time(&self.beside, 99)),
            (
                "ratio of p99",
                format!("{:.2}", self.ratio()),
                format!("aim: at most {AIM}"),
            ),
            line("memory of the server", memory),
        ]
    }

    fn rate(&self) -> u128 {
        u128::from(self.swept)
            .saturating_mul(1_000)
            .checked_div(self.took.as_millis())
            .unwrap_or(0)
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(idle: u64, beside: u64) -> Measured {
        let served = |millis| Served::taking([Duration::from_millis(millis); 3]);
        Measured::of(
            [served(idle), served(beside)],
            3_000,
            Duration::from_millis(1_500),
            Some(2_048),
        )
        .unwrap()
    }

    #[test]
    fn twice_the_idle_value_is_the_limit() {
        assert!(measured(4, 8).is_quick_enough());
        assert!(!measured(4, 9).is_quick_enough());
        assert!(!measured(0, 1).is_quick_enough());
    }

    #[test]
    fn what_did_not_happen_is_no_result() {
        let served = || Served::taking([Duration::from_millis(1)]);
        let of = |served, swept| Measured::of(served, swept, Duration::from_secs(1), None);
        assert!(of([served(), served()], 1).is_ok());
        assert!(of([served(), served()], 0).is_err());
        assert!(of([served(), Served::default()], 1).is_err());
        assert!(of([Served::default(), served()], 1).is_err());
    }

    #[test]
    fn the_table_tells_every_figure() {
        let plan = Plan::parse(["--database", "sqlite"].map(str::to_owned)).unwrap();
        let lines = measured(4, 6).lines(&plan);
        let figure = |wanted: &str| {
            let line = lines.iter().find(|(what, ..)| *what == wanted);
            line.unwrap().1.clone()
        };
        assert_eq!(figure("rows seeded"), "1000000");
        assert_eq!(figure("rows swept a second"), "2000");
        assert_eq!(figure("refresh p99, idle"), "4.00 ms");
        assert_eq!(figure("refresh p50, sweeping"), "6.00 ms");
        assert_eq!(figure("ratio of p99"), "1.50");
        assert_eq!(figure("memory of the server"), "2.0 MiB");
    }
}
